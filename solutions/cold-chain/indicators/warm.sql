/*
name: {en: Readings that were too warm, zh: 温度超限率}
unit: "%"
better: lower
every: day
drill: |
  SELECT about AS thing, say AS why, at, device FROM run_steps
  WHERE solution = 'cold-chain' AND flow IN ('telemetry', 'pass-on') AND verdict = 'warned' AND day = :day ORDER BY at
*/
-- By the time at which they were taken, whenever they came.
SELECT day, 100.0 * SUM(CASE WHEN verdict = 'warned' THEN 1 ELSE 0 END) / COUNT(*) AS value, COUNT(*) AS readings
FROM run_steps
WHERE solution = 'cold-chain' AND flow IN ('telemetry', 'pass-on') AND verdict IN ('passed', 'warned') AND day BETWEEN :from AND :to
GROUP BY day
ORDER BY day
