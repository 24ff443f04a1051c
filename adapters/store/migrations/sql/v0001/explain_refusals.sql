-- Completes the verdicts of post_entries: why an entry that was asked for was not written. Its key is in the books
-- already (duplicate or conflict), or its hold cannot be closed by it.
CREATE FUNCTION explain_refusals(verdicts text[], asked boolean[], keys text[], digests bytea[], hold_keys text[])
RETURNS text[] LANGUAGE sql AS $$
    SELECT array_agg(
        CASE
            WHEN NOT u.asked OR u.verdict = 'posted' THEN u.verdict
            WHEN e.digest = u.digest THEN 'duplicate'
            WHEN e.digest IS NOT NULL THEN 'conflict'
            WHEN h.key IS NULL THEN 'hold_missing'
            WHEN h.state = 'PENDING' THEN 'conflict'
            ELSE 'hold_closed'
        END ORDER BY u.i)
    FROM unnest(verdicts, asked, keys, digests, hold_keys) WITH ORDINALITY AS u (verdict, asked, key, digest, hold_key, i)
    LEFT JOIN entry e ON e.key = u.key
    LEFT JOIN hold h ON h.key = u.hold_key
$$;
