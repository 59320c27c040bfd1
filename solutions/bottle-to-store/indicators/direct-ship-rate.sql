/*
name: {en: Shipped straight from the line, zh: 产线直发率}
unit: "%"
better: higher
every: day
seed: 5% → 32%
drill: |
  SELECT t.thing AS thing, f.event_time AS at, f.read_point AS handheld FROM facts f JOIN event_things t ON t.seq = f.seq AND t.role = 'epc'
  WHERE f.biz_step = 'shipping' AND f.day = :day ORDER BY f.seq
*/
-- Of the boxes that went to shops: those that no transit warehouse had received before.
SELECT f.day,
       100.0 * SUM(CASE WHEN EXISTS (SELECT 1 FROM facts r JOIN event_things u ON u.seq = r.seq AND u.role = 'epc'
                                     WHERE u.thing = t.thing AND r.biz_step = 'receiving' AND r.event_time < f.event_time) THEN 0 ELSE 1 END) / COUNT(*) AS value,
       COUNT(*) AS boxes
FROM facts f
JOIN event_things t ON t.seq = f.seq AND t.role = 'epc'
WHERE f.biz_step = 'shipping' AND f.day BETWEEN :from AND :to
GROUP BY f.day
ORDER BY f.day
