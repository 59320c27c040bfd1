/*
name: {en: Film used for trying, zh: 试用膜片}
unit: cm2
better: lower
every: day
seed: 12500 cm² → 3750 cm² 以内
*/
-- A film is 250 mm by 500 mm.
SELECT f.day, 1250.0 * AVG(n.number) AS value
FROM facts f
JOIN event_fields n ON n.seq = f.seq AND n.name = 'films'
WHERE f.day BETWEEN :from AND :to
GROUP BY f.day
ORDER BY f.day
