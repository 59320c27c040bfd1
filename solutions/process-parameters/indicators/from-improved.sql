/*
name: {en: Set-ups with the machine's own parameters, zh: 采用机台专用参数的比例}
unit: "%"
better: higher
every: day
drill: |
  SELECT t.thing AS thing, s.text AS source, f.event_time AS at FROM facts f
  JOIN event_fields s ON s.seq = f.seq AND s.name = 'source' JOIN event_fields m ON m.seq = f.seq AND m.name = 'minutes' JOIN event_things t ON t.seq = f.seq AND t.no = 1
  WHERE f.day = :day ORDER BY f.seq
*/
SELECT f.day, 100.0 * SUM(CASE WHEN s.text = 'machine' THEN 1 ELSE 0 END) / COUNT(*) AS value
FROM facts f
JOIN event_fields s ON s.seq = f.seq AND s.name = 'source'
JOIN event_fields m ON m.seq = f.seq AND m.name = 'minutes'
WHERE f.day BETWEEN :from AND :to
GROUP BY f.day
ORDER BY f.day
