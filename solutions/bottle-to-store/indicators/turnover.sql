/*
name: {en: Stock turnover, zh: 库存周转率}
unit: "%"
better: higher
every: none
seed: 40% → 80%
drill: |
  SELECT t.thing AS thing, f.biz_location AS warehouse, f.read_point AS handheld, f.event_time AS at FROM facts f JOIN event_things t ON t.seq = f.seq AND t.role = 'epc'
  WHERE f.biz_step = 'shipping' AND f.day BETWEEN :from AND :to ORDER BY f.seq
*/
-- Boxes shipped in these days, over all that were in stock at some time in them: packed until the last day, and not shipped before the first.
WITH packed AS (
  SELECT t.thing AS thing, MIN(f.day) AS day FROM facts f JOIN event_things t ON t.seq = f.seq AND t.role = 'epc' WHERE f.biz_step = 'storing' GROUP BY t.thing),
shipped AS (
  SELECT t.thing AS thing, MIN(f.day) AS day FROM facts f JOIN event_things t ON t.seq = f.seq AND t.role = 'epc' WHERE f.biz_step = 'shipping' GROUP BY t.thing)
SELECT 100.0 * COUNT(CASE WHEN s.day BETWEEN :from AND :to THEN 1 END) / NULLIF(COUNT(*), 0) AS value, COUNT(*) AS boxes
FROM packed p LEFT JOIN shipped s ON s.thing = p.thing
WHERE p.day <= :to AND (s.day IS NULL OR s.day >= :from)
