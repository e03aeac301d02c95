-- How runs stand, for figures.

-- name: standing
-- Nobody works on an active run since its lease ended, or since it was last changed.
SELECT state, count(*),
       extract(epoch FROM max(clock_timestamp() - coalesce(leased_until, changed_at))
                          FILTER (WHERE state IN ('running', 'cancelling')
                                    AND (leased_until IS NULL OR leased_until < clock_timestamp())))
FROM recovery.run GROUP BY state;
