/*
name: {en: Bottles packed, zh: 装箱瓶数}
every: hour
better: higher
drill: |
  SELECT code AS thing, device, place, at FROM run_steps
  WHERE solution = 'bottle-to-store' AND flow = 'pack-box' AND step = 'bottles' AND verdict = 'passed' AND hour = :day ORDER BY seq
*/
SELECT hour, COUNT(*) AS value
FROM run_steps
WHERE solution = 'bottle-to-store' AND flow = 'pack-box' AND step = 'bottles' AND verdict = 'passed' AND day BETWEEN :from AND :to
GROUP BY hour
ORDER BY hour
