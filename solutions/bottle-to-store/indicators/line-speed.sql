/*
name: {en: Bottles packed, zh: 装箱瓶数}
every: hour
better: higher
*/
SELECT hour, COUNT(*) AS value
FROM run_steps
WHERE solution = 'bottle-to-store' AND flow = 'pack-box' AND step = 'bottles' AND verdict = 'passed' AND day BETWEEN :from AND :to
GROUP BY hour
ORDER BY hour
