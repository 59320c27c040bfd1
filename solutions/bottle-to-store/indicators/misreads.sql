/*
name: {en: Scans turned away on the line, zh: 产线误读率}
unit: "%"
better: lower
every: hour
drill: |
  SELECT code AS thing, say AS why, at, device FROM run_steps
  WHERE solution = 'bottle-to-store' AND flow = 'pack-box' AND verdict IN ('refused', 'warned') AND hour = :day ORDER BY seq
*/
SELECT hour, 100.0 * SUM(CASE WHEN verdict IN ('refused', 'warned') THEN 1 ELSE 0 END) / COUNT(*) AS value
FROM run_steps
WHERE solution = 'bottle-to-store' AND flow = 'pack-box' AND day BETWEEN :from AND :to
GROUP BY hour
ORDER BY hour
