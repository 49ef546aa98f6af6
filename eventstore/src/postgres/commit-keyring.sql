-- The keyring's part of a batch, where it is in a database of its own. No row comes back where the
-- keyring has not heard of all that the ledger has.
WITH h AS (
    UPDATE counter SET next = $2 WHERE name = 'size' AND next = $1 RETURNING 1
), p AS (
    INSERT INTO person (id, state, fence, fields, keys, lookups)
    SELECT u.id, 1, u.fence, u.fields, u.keys, u.lookups
    FROM h, unnest($3::int8[], $4::bytea[], $5::int4[], $6::bytea[], $7::bytea[])
        u (id, fence, fields, keys, lookups)
), dk AS (
    INSERT INTO data_key
    SELECT u.* FROM h, unnest($8::int8[], $9::int8[], $10::int2[], $11::bytea[]) u
), r AS (
    INSERT INTO idempotency
    SELECT u.* FROM h, unnest($12::int8[], $13::bytea[], $14::bytea[], $15::int8[], $16::int4[]) u
), l AS (
    INSERT INTO lookup SELECT u.* FROM h, unnest($17::bytea[], $18::int8[]) u
    ON CONFLICT DO NOTHING
), pt AS (
    INSERT INTO person_tag
    SELECT u.* FROM h, unnest($19::int8[], $20::int8[], $21::int8[], $22::int8[],
                              $23::int8[], $24::int4[], $25::int2[], $26::int2[]) u
)
SELECT 1 FROM h
