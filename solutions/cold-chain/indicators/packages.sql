/*
name: {en: Packages handled, zh: 小包装数}
every: day
drill: |
  SELECT DISTINCT t.thing AS thing, f.biz_step AS step, f.event_time AS at FROM facts f JOIN event_things t ON t.seq = f.seq WHERE t.role IN ('epc', 'outputEPC') AND f.day = :day ORDER BY t.thing
*/
SELECT f.day, COUNT(DISTINCT t.thing) AS value
FROM facts f
JOIN event_things t ON t.seq = f.seq
WHERE t.role IN ('epc', 'outputEPC') AND f.day BETWEEN :from AND :to
GROUP BY f.day
ORDER BY f.day
