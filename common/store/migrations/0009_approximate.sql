-- Approximate indexes, an opt-in of a gallery. The index itself is PostgreSQL's, made and dropped outside transactions;
-- this says which one is wanted. An index whose row is gone, or refused, is dropped by housekeeping.

create table approximate_indexes (
    gallery_id uuid primary key references galleries on delete cascade,
    model_id text not null,
    name text not null unique,                  -- of the index in PostgreSQL; every build has a name of its own
    job_id uuid not null,                       -- builds and measures it; may be deleted
    state text not null default 'building' check (state in ('building', 'ready', 'refused')),
    min_recall double precision not null check (min_recall > 0 and min_recall <= 1),
    recall double precision check (recall between 0 and 1),
    measured_at timestamptz
);

-- It is of one model: whoever switches the gallery to another one searches exactly again.
create function forget_approximate_index() returns trigger language plpgsql as $$
begin
    delete from approximate_indexes where gallery_id = new.id;
    return null;
end $$;
create trigger galleries_forget_approximate_index after update of model_id on galleries
    for each row when (old.model_id is distinct from new.model_id)
    execute function forget_approximate_index();

alter table jobs drop constraint jobs_kind_check;
alter table jobs add constraint jobs_kind_check
    check (kind in ('media', 'reindex', 'rematch', 'calibrate', 'index'));
