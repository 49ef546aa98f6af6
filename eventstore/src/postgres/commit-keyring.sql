-- The keyring's part of a batch, where it is in a database of its own. No row comes back where the
-- keyring has not heard of all that the ledger has.
WITH h AS (
    UPDATE counter SET next = $2 WHERE name = 'size' AND next = $1 RETURNING 1
), p AS (
    INSERT INTO person (id, state, fence, fields)
    SELECT u.id, 1, u.fence, u.fields
    FROM h, unnest($3::int8[], $4::bytea[], $5::int4[]) u (id, fence, fields)
), pk AS (
    INSERT INTO person_key SELECT u.* FROM h, unnest($6::int8[], $7::int2[], $8::bytea[]) u
), dk AS (
    INSERT INTO data_key
    SELECT u.* FROM h, unnest($9::int8[], $10::int8[], $11::int2[], $12::bytea[]) u
), r AS (
    INSERT INTO idempotency
    SELECT u.* FROM h, unnest($13::int8[], $14::bytea[], $15::bytea[], $16::int8[], $17::int4[]) u
), l AS (
    INSERT INTO lookup SELECT u.* FROM h, unnest($18::bytea[], $19::int8[], $20::int2[]) u
    ON CONFLICT DO NOTHING
), pt AS (
    INSERT INTO person_tag
    SELECT u.* FROM h, unnest($21::int8[], $22::int8[], $23::int8[], $24::int8[],
                              $25::int8[], $26::int4[], $27::int2[], $28::int2[]) u
)
SELECT 1 FROM h
