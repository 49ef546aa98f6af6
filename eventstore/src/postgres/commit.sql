-- One batch, one statement, one round trip. No row comes back where another node was first: then
-- nothing was written.
WITH h AS (
    UPDATE head SET size = $2, frontier = $3, recorded_at = $4, indexed = greatest(indexed, $5)
    WHERE id = 1 AND size = $1 RETURNING 1
), e AS (
    INSERT INTO entry SELECT u.* FROM h, unnest($6::int8[], $7::bytea[], $8::bytea[]) u
), s AS (
    INSERT INTO seal SELECT u.* FROM h, unnest($9::int8[], $10::bytea[]) u
), p AS (
    INSERT INTO person (id, state, fence, fields, keys, lookups)
    SELECT u.id, 1, u.fence, u.fields, u.keys, u.lookups
    FROM h, unnest($11::int8[], $12::bytea[], $13::int4[], $14::bytea[], $15::bytea[])
        u (id, fence, fields, keys, lookups)
), dk AS (
    INSERT INTO data_key
    SELECT u.* FROM h, unnest($16::int8[], $17::int8[], $18::int2[], $19::bytea[]) u
), r AS (
    INSERT INTO idempotency
    SELECT u.* FROM h, unnest($20::int8[], $21::bytea[], $22::bytea[], $23::int8[], $24::int4[]) u
), l AS (
    INSERT INTO lookup SELECT u.* FROM h, unnest($25::bytea[], $26::int8[]) u
    ON CONFLICT DO NOTHING
), pt AS (
    INSERT INTO person_tag
    SELECT u.* FROM h, unnest($27::int8[], $28::int8[], $29::int8[], $30::int8[],
                              $31::int8[], $32::int4[], $33::int2[], $34::int2[]) u
)
SELECT 1 FROM h
