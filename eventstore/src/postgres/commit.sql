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
    INSERT INTO person (id, state, fence, fields)
    SELECT u.id, 1, u.fence, u.fields
    FROM h, unnest($11::int8[], $12::bytea[], $13::int4[]) u (id, fence, fields)
), pk AS (
    INSERT INTO person_key SELECT u.* FROM h, unnest($14::int8[], $15::int2[], $16::bytea[]) u
), dk AS (
    INSERT INTO data_key
    SELECT u.* FROM h, unnest($17::int8[], $18::int8[], $19::int2[], $20::bytea[]) u
), r AS (
    INSERT INTO idempotency
    SELECT u.* FROM h, unnest($21::int8[], $22::bytea[], $23::bytea[], $24::int8[], $25::int4[]) u
), l AS (
    INSERT INTO lookup SELECT u.* FROM h, unnest($26::bytea[], $27::int8[], $28::int2[]) u
    ON CONFLICT DO NOTHING
), t AS (
    INSERT INTO tag SELECT u.* FROM h, unnest($29::int8[], $30::int8[]) u
), pt AS (
    INSERT INTO person_tag
    SELECT u.* FROM h, unnest($31::int8[], $32::int8[], $33::int8[], $34::int8[],
                              $35::int8[], $36::int4[], $37::int2[], $38::int2[]) u
)
SELECT 1 FROM h
