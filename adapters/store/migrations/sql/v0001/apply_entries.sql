-- The writing half of post_entries, for entries that may be written: balances locked and sufficient, holds checked. An
-- entry whose key is taken is not written and its verdict is 'refused'; what is not to do has none.
CREATE FUNCTION apply_entries(
    keys text[], digests bytea[], kinds text[], becomes text[], hold_keys text[],
    accounts bigint[], line_item int[], line_no smallint[], line_place int[], line_units numeric[],
    at timestamptz, todo boolean[]
) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[] := ARRAY(SELECT nextval('entry_id_seq') FROM generate_series(1, cardinality(keys)));
    added_ids bigint[];
    written boolean[] := todo;
    added int;
BEGIN
    INSERT INTO entry (id, key, digest, kind, posted_at) OVERRIDING SYSTEM VALUE
    SELECT ids[u.i], u.key, u.digest, u.kind, at
    FROM unnest(keys, digests, kinds) WITH ORDINALITY AS u (key, digest, kind, i)
    WHERE todo[u.i] ORDER BY u.key
    ON CONFLICT (key) DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;
    IF added < cardinality(array_positions(todo, true)) THEN
        added_ids := ARRAY(SELECT e.id FROM entry e WHERE e.id = ANY (ids));
        written := ARRAY(SELECT t AND ids[u.i] = ANY (added_ids) FROM unnest(todo) WITH ORDINALITY AS u (t, i) ORDER BY u.i);
    END IF;

    IF added > 0 THEN
        INSERT INTO posting (entry_id, line, account_id, units)
        SELECT ids[l.item], l.no, accounts[l.place], l.units
        FROM unnest(line_item, line_no, line_place, line_units) AS l (item, no, place, units)
        WHERE written[l.item];
        UPDATE balance b SET units = b.units + d.net * b.normal_sign
        FROM (SELECT accounts[l.place] AS account_id, sum(l.units) AS net
              FROM unnest(line_item, line_place, line_units) AS l (item, place, units)
              WHERE written[l.item] GROUP BY l.place) d
        WHERE b.account_id = d.account_id AND d.net <> 0;
        IF 'PENDING' = ANY (becomes) THEN
            -- The credit of a placing entry is what its hold holds.
            INSERT INTO hold (key, held_id, units, state, placed_at)
            SELECT keys[l.item], accounts[l.place], -l.units, 'PENDING', at
            FROM unnest(line_item, line_place, line_units) AS l (item, place, units)
            WHERE l.units < 0 AND written[l.item] AND becomes[l.item] = 'PENDING';
        END IF;
        IF 'SETTLED' = ANY (becomes) OR 'RELEASED' = ANY (becomes) THEN
            UPDATE hold h SET state = u.becomes, closed_by = u.key, closed_at = at
            FROM unnest(keys, becomes, hold_keys) WITH ORDINALITY AS u (key, becomes, hold_key, i)
            WHERE h.key = u.hold_key AND written[u.i] AND u.becomes <> 'PENDING';
        END IF;
    END IF;
    IF added = cardinality(keys) THEN
        RETURN array_fill('posted'::text, ARRAY[added]);
    END IF;
    RETURN ARRAY(SELECT CASE WHEN w THEN 'posted' WHEN t THEN 'refused' END
                 FROM unnest(written, todo) WITH ORDINALITY AS u (w, t, i) ORDER BY u.i);
END $$;
