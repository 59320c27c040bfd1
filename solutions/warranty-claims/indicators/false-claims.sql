/*
name: {en: False claims found, zh: 虚假索赔拦截率}
unit: "%"
every: day
drill: |
  SELECT about AS thing, say AS why, at, who FROM run_steps
  WHERE solution = 'warranty-claims' AND flow = 'claim' AND verdict = 'refused' AND day = :day ORDER BY seq
*/
SELECT day, 100.0 * SUM(CASE WHEN verdict = 'refused' THEN 1 ELSE 0 END) / COUNT(*) AS value, COUNT(*) AS claims
FROM run_steps
WHERE solution = 'warranty-claims' AND flow = 'claim' AND verdict IN ('passed', 'refused') AND day BETWEEN :from AND :to
GROUP BY day
ORDER BY day
