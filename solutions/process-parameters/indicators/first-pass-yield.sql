/*
name: {en: First-pass yield, zh: 良品率}
unit: "%"
better: higher
every: none
seed: 96% → 98%
drill: |
  SELECT t.thing AS thing, y.number AS yield, f.event_time AS at FROM facts f
  JOIN event_fields y ON y.seq = f.seq AND y.name = 'yield' JOIN event_fields s ON s.seq = f.seq AND s.name = 'source' JOIN event_things t ON t.seq = f.seq AND t.no = 1
  WHERE f.day BETWEEN :from AND :to AND s.text = :of ORDER BY f.seq
*/
-- By where the parameters came from: the work instruction, or what the machine did best before.
SELECT s.text AS source, AVG(y.number) AS value, COUNT(*) AS set_ups
FROM facts f
JOIN event_fields y ON y.seq = f.seq AND y.name = 'yield'
JOIN event_fields s ON s.seq = f.seq AND s.name = 'source'
WHERE f.day BETWEEN :from AND :to
GROUP BY s.text
ORDER BY s.text
