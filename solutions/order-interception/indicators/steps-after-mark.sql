/*
name: {en: Stations passed after the mark, zh: 标记后仍通过的工位数}
better: lower
every: day
drill: |
  SELECT p.about AS thing, p.step, p.at FROM run_steps p JOIN run_steps m ON m.about = p.about AND m.flow = 'return-order' AND m.verdict = 'passed'
  WHERE p.solution = 'order-interception' AND p.flow = 'parcel' AND p.verdict = 'passed' AND p.seq > m.seq AND p.day = :day ORDER BY p.seq
*/
-- An order that is marked must pass no further station: this is zero, or something is wrong.
SELECT m.day AS day, SUM(CASE WHEN p.seq IS NULL THEN 0 ELSE 1 END) AS value
FROM run_steps m
LEFT JOIN run_steps p ON p.about = m.about AND p.solution = m.solution AND p.flow = 'parcel' AND p.verdict = 'passed' AND p.seq > m.seq
WHERE m.solution = 'order-interception' AND m.flow = 'return-order' AND m.verdict = 'passed' AND m.day BETWEEN :from AND :to
GROUP BY m.day
ORDER BY day
