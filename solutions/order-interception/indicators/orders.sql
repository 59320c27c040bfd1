/*
name: {en: Orders by state, zh: 订单状态分布}
every: none
drill: |
  SELECT r.id AS thing, r.registered_time AS at FROM records r JOIN record_values s ON s.id = r.id AND s.name = 'state'
  WHERE r.template LIKE '%/META_ORDER' AND s.value = :of AND r.registered_day BETWEEN :from AND :to ORDER BY r.id
*/
SELECT s.value AS state, COUNT(*) AS value
FROM records r
JOIN record_values s ON s.id = r.id AND s.name = 'state'
WHERE r.template LIKE '%/META_ORDER' AND r.registered_day BETWEEN :from AND :to
GROUP BY s.value
ORDER BY s.value
