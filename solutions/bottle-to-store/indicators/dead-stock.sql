/*
name: {en: Dead stock, zh: 平均库存（呆滞）率}
unit: "%"
better: lower
every: none
seed: 85% → 30%
drill: |
  SELECT t.thing AS thing, MIN(f.event_time) AS packed FROM facts f JOIN event_things t ON t.seq = f.seq AND t.role = 'epc'
  WHERE f.biz_step = 'storing' AND f.day < :from
    AND NOT EXISTS (SELECT 1 FROM facts m JOIN event_things u ON u.seq = m.seq AND u.role = 'epc'
                    WHERE u.thing = t.thing AND (m.biz_step = 'receiving' AND m.day >= :from OR m.biz_step = 'shipping' AND m.day <= :to))
  GROUP BY t.thing ORDER BY t.thing
*/
-- Of the boxes in stock on the last day: those packed before the first, which nothing has moved since.
WITH packed AS (
  SELECT t.thing AS thing, MIN(f.day) AS day FROM facts f JOIN event_things t ON t.seq = f.seq AND t.role = 'epc' WHERE f.biz_step = 'storing' GROUP BY t.thing),
moved AS (
  SELECT t.thing AS thing, MAX(f.day) AS day FROM facts f JOIN event_things t ON t.seq = f.seq AND t.role = 'epc' WHERE f.biz_step IN ('receiving', 'shipping') GROUP BY t.thing),
shipped AS (
  SELECT t.thing AS thing, MIN(f.day) AS day FROM facts f JOIN event_things t ON t.seq = f.seq AND t.role = 'epc' WHERE f.biz_step = 'shipping' GROUP BY t.thing)
SELECT 100.0 * COUNT(CASE WHEN p.day < :from AND (m.day IS NULL OR m.day < :from) THEN 1 END) / NULLIF(COUNT(*), 0) AS value, COUNT(*) AS boxes
FROM packed p
LEFT JOIN moved m ON m.thing = p.thing
LEFT JOIN shipped s ON s.thing = p.thing
WHERE p.day <= :to AND (s.day IS NULL OR s.day > :to)
