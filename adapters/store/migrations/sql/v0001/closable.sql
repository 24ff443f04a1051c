-- Of the entries asked for: those that close no hold, and those whose hold is pending and holds, in the account that the
-- entry debits, exactly what it debits there.
CREATE FUNCTION closable(
    becomes text[], hold_keys text[], accounts bigint[],
    line_item int[], line_place int[], line_units numeric[], asked boolean[]
) RETURNS boolean[] LANGUAGE plpgsql AS $$
DECLARE
    ready int[];
BEGIN
    SELECT array_agg(l.item) INTO ready
    FROM unnest(line_item, line_place, line_units) AS l (item, place, units)
    JOIN hold h ON h.key = hold_keys[l.item]
    WHERE l.units > 0 AND asked[l.item] AND becomes[l.item] <> 'PENDING'
      AND h.state = 'PENDING' AND h.held_id = accounts[l.place] AND h.units = l.units;
    RETURN ARRAY(SELECT u.a AND (u.b IS NULL OR u.b = 'PENDING' OR coalesce(u.i = ANY (ready), false))
                 FROM unnest(asked, becomes) WITH ORDINALITY AS u (a, b, i) ORDER BY u.i);
END $$;
