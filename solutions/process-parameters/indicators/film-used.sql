/*
name: {en: Film used for trying, zh: 试用膜片}
unit: cm2
better: lower
every: day
seed: 12500 cm² → 3750 cm² 以内
drill: |
  SELECT t.thing AS thing, n.number AS films, f.event_time AS at FROM facts f
  JOIN event_fields n ON n.seq = f.seq AND n.name = 'films' JOIN event_things t ON t.seq = f.seq AND t.no = 1
  WHERE f.day = :day ORDER BY f.seq
*/
-- A film is 250 mm by 500 mm.
SELECT f.day, 1250.0 * AVG(n.number) AS value
FROM facts f
JOIN event_fields n ON n.seq = f.seq AND n.name = 'films'
WHERE f.day BETWEEN :from AND :to
GROUP BY f.day
ORDER BY f.day
