/*
name: {en: Abnormal orders stopped, zh: 异常订单拦截率}
unit: "%"
better: higher
every: day
drill: |
  SELECT r.id AS thing, s.value AS state, w.value AS why, r.changed_time AS at
  FROM records r
  JOIN record_values m ON m.id = r.id AND m.name = 'marked'
  JOIN record_values s ON s.id = r.id AND s.name = 'state'
  LEFT JOIN record_values w ON w.id = r.id AND w.name = 'why'
  WHERE r.template LIKE '%/META_ORDER' AND r.registered_day = :day
  ORDER BY r.id
*/
-- Of the orders that were marked abnormal: how many did not leave the warehouse. Those that are still on their way do not count yet.
SELECT r.registered_day AS day,
       100.0 * SUM(CASE WHEN s.value = 'intercepted' THEN 1 ELSE 0 END) / COUNT(*) AS value,
       COUNT(*) AS marked
FROM records r
JOIN record_values m ON m.id = r.id AND m.name = 'marked'
JOIN record_values s ON s.id = r.id AND s.name = 'state'
WHERE r.template LIKE '%/META_ORDER' AND s.value IN ('intercepted', 'shipped') AND r.registered_day BETWEEN :from AND :to
GROUP BY r.registered_day
ORDER BY day
