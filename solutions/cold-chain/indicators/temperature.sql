/*
name: {en: Temperatures, zh: 温度}
unit: Cel
better: lower
every: day
drill: |
  SELECT t.thing AS thing, s.value AS temperature, s.time AS at FROM facts f JOIN event_sensors s ON s.seq = f.seq AND s.type = 'Temperature' JOIN event_things t ON t.seq = f.seq AND t.no = 1
  WHERE f.day = :day ORDER BY s.value DESC
*/
SELECT f.day, MAX(s.value) AS value, AVG(s.value) AS mean, COUNT(*) AS readings
FROM facts f
JOIN event_sensors s ON s.seq = f.seq AND s.type = 'Temperature'
WHERE f.day BETWEEN :from AND :to
GROUP BY f.day
ORDER BY f.day
