/*
name: {en: Boxes in stock by warehouse, zh: 各仓库存（箱）}
every: none
drill: |
  SELECT thing, since AS at FROM (
    SELECT t.thing AS thing, MAX(f.event_time) AS since,
           (SELECT g.biz_location FROM facts g JOIN event_things u ON u.seq = g.seq AND u.role = 'epc' WHERE u.thing = t.thing AND g.biz_step IN ('storing', 'receiving', 'shipping') ORDER BY g.event_time DESC, g.seq DESC LIMIT 1) AS place,
           (SELECT g.biz_step FROM facts g JOIN event_things u ON u.seq = g.seq AND u.role = 'epc' WHERE u.thing = t.thing AND g.biz_step IN ('storing', 'receiving', 'shipping') ORDER BY g.event_time DESC, g.seq DESC LIMIT 1) AS step
    FROM facts f JOIN event_things t ON t.seq = f.seq AND t.role = 'epc' WHERE f.biz_step = 'storing' GROUP BY t.thing) AS boxes
  WHERE place = :of AND step <> 'shipping' ORDER BY thing
*/
-- What is packed is in stock; what was shipped is not, unless a transit warehouse received it since.
WITH last AS (
  SELECT t.thing AS thing, MAX(f.event_time) AS at
  FROM facts f JOIN event_things t ON t.seq = f.seq AND t.role = 'epc'
  WHERE f.biz_step IN ('storing', 'receiving', 'shipping')
  GROUP BY t.thing)
SELECT f.biz_location AS warehouse, COUNT(DISTINCT l.thing) AS value
FROM last l
JOIN event_things t ON t.thing = l.thing AND t.role = 'epc'
JOIN facts f ON f.seq = t.seq AND f.event_time = l.at
WHERE f.biz_step IN ('storing', 'receiving') AND f.day <= :to
GROUP BY f.biz_location
ORDER BY f.biz_location
