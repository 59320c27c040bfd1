/*
name: {en: Set-up time, zh: 调机用时}
unit: min
better: lower
every: day
seed: 1.5–2 小时 → 约 15 分钟
drill: |
  SELECT t.thing AS thing, m.number AS minutes, s.text AS source, f.event_time AS at FROM facts f
  JOIN event_fields m ON m.seq = f.seq AND m.name = 'minutes' JOIN event_fields s ON s.seq = f.seq AND s.name = 'source' JOIN event_things t ON t.seq = f.seq AND t.no = 1
  WHERE f.day = :day ORDER BY f.seq
*/
SELECT f.day, AVG(m.number) AS value, COUNT(*) AS set_ups
FROM facts f
JOIN event_fields m ON m.seq = f.seq AND m.name = 'minutes'
WHERE f.day BETWEEN :from AND :to
GROUP BY f.day
ORDER BY f.day
