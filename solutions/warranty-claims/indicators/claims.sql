/*
name: {en: Claims and how they went, zh: 索赔单与结果}
every: none
drill: |
  SELECT about AS thing, say AS why, at, who FROM run_steps
  WHERE solution = 'warranty-claims' AND flow = 'claim' AND verdict = :of AND day BETWEEN :from AND :to ORDER BY seq
*/
SELECT verdict, COUNT(*) AS value
FROM run_steps
WHERE solution = 'warranty-claims' AND flow = 'claim' AND verdict IN ('passed', 'refused') AND day BETWEEN :from AND :to
GROUP BY verdict
ORDER BY verdict
