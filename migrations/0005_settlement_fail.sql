-- Imported files and the SEC's fails-to-deliver balances. Locking: new tables only.

-- +migrate Up
CREATE SEQUENCE finobs.import_id AS bigint;
CREATE TABLE finobs.import (
    import_id      bigint PRIMARY KEY, -- from finobs.import_id, taken before the file is read
    source         text NOT NULL CONSTRAINT import_source_is_known CHECK (source IN ('sec_fails')),
    content_sha256 bytea NOT NULL CONSTRAINT import_digest_is_sha256 CHECK (octet_length(content_sha256) = 32),
    origin         text NOT NULL CONSTRAINT import_origin_is_known CHECK (origin IN ('live', 'demo')),
    file_name      text NOT NULL,
    byte_count     bigint NOT NULL,
    report         jsonb NOT NULL,  -- what was read, refused and changed
    imported_iss   text NOT NULL,
    imported_sub   text NOT NULL,
    workflow_id    text NOT NULL,
    trace_id       text NOT NULL,
    imported_at    timestamptz NOT NULL,
    CONSTRAINT import_is_once_per_content UNIQUE (source, content_sha256)
);

-- Shares that had not been delivered at a settlement date: a balance, not the
-- fails of that day. A later file that states another balance corrects it.
CREATE TABLE finobs.settlement_fail (
    settlement_date date NOT NULL,
    cusip           text NOT NULL CONSTRAINT cusip_has_nine_characters CHECK (length(cusip) = 9),
    symbol          text NOT NULL,
    quantity        bigint NOT NULL CONSTRAINT quantity_is_positive CHECK (quantity > 0),
    description     text NOT NULL,
    price_usd       numeric CONSTRAINT price_is_not_negative CHECK (price_usd >= 0),
    -- Deferred: rows go in while the file is read, the import with its report after.
    import_id       bigint NOT NULL CONSTRAINT fail_comes_from_an_import REFERENCES finobs.import
        DEFERRABLE INITIALLY DEFERRED,
    PRIMARY KEY (cusip, settlement_date)
);
CREATE INDEX settlement_fail_by_date ON finobs.settlement_fail (settlement_date);

GRANT USAGE ON SEQUENCE finobs.import_id TO finobs_worker;
GRANT SELECT, INSERT ON finobs.import, finobs.settlement_fail TO finobs_worker;
GRANT UPDATE (symbol, quantity, description, price_usd, import_id) ON finobs.settlement_fail TO finobs_worker;

CREATE VIEW api.import AS
SELECT import_id, source, encode(content_sha256, 'hex') AS content_sha256, origin, file_name, byte_count, report,
       imported_iss, imported_sub, workflow_id, trace_id, imported_at
FROM finobs.import;
GRANT SELECT ON api.import TO finobs_api;

-- +migrate Down
DROP VIEW api.import;
DROP TABLE finobs.settlement_fail;
DROP TABLE finobs.import;
DROP SEQUENCE finobs.import_id;
