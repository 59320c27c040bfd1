/*
name: {en: From the sample to the answer, zh: 追溯用时}
unit: h
better: lower
every: day
seed: 数天乃至数周 → 数小时
drill: |
  SELECT about AS thing, seconds, started_time AS at FROM runs
  WHERE solution = 'cold-chain' AND flow = 'outbreak' AND state = 'ended' AND started_day = :day ORDER BY started_time
*/
SELECT started_day AS day, AVG(seconds) / 3600.0 AS value, COUNT(*) AS outbreaks
FROM runs
WHERE solution = 'cold-chain' AND flow = 'outbreak' AND state = 'ended' AND started_day BETWEEN :from AND :to
GROUP BY started_day
ORDER BY started_day
