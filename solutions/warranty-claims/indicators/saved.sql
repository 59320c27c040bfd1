/*
name: {en: Not paid out, zh: 减少的索赔金额}
unit: CNY
better: higher
every: day
seed: 2019 年集团重卡板块减少索赔 2 亿元以上
drill: |
  SELECT t.thing AS thing, a.number AS amount, f.event_time AS at FROM facts f JOIN event_fields a ON a.seq = f.seq AND a.name = 'amount' JOIN event_things t ON t.seq = f.seq
  WHERE f.biz_step = 'inspecting' AND f.disposition = 'returned' AND f.day = :day ORDER BY f.seq
*/
SELECT f.day, SUM(a.number) AS value, COUNT(*) AS claims
FROM facts f
JOIN event_fields a ON a.seq = f.seq AND a.name = 'amount'
WHERE f.biz_step = 'inspecting' AND f.disposition = 'returned' AND f.day BETWEEN :from AND :to
GROUP BY f.day
ORDER BY f.day
