-- Indexes in memory are disposable copies of references. A counter per gallery and model tells them on every search
-- whether they are up to date, and a log of changes what they lack. The counter's row is locked from the first change of
-- a transaction until it commits, so revisions are committed in their order, and who sees revision n sees all before it.

create table embedding_revisions (
    gallery_id uuid not null,
    model_id text not null,
    revision bigint not null,
    logged_since bigint not null,               -- the log holds every change after this revision
    changed_by xid8 not null,                   -- with changed_at: one transaction makes one revision
    changed_at timestamptz not null,
    primary key (gallery_id, model_id)
);

create table embedding_changes (
    gallery_id uuid not null,
    model_id text not null,
    revision bigint not null,
    sample_id uuid not null                     -- whose embedding was added, changed or removed
);
create index embedding_changes_by_revision on embedding_changes (gallery_id, model_id, revision);

-- The revision that this transaction makes; null when there is nothing to count for (the gallery is being deleted).
create function next_embedding_revision(of_gallery uuid, of_model text, may_create boolean) returns bigint
language plpgsql as $$
declare
    known embedding_revisions;
begin
    select * into known from embedding_revisions where gallery_id = of_gallery and model_id = of_model;
    if found and known.changed_by = pg_current_xact_id() and known.changed_at = now() then
        return known.revision;
    end if;
    if may_create then
        insert into embedding_revisions values (of_gallery, of_model, 1, 0, pg_current_xact_id(), now())
            on conflict (gallery_id, model_id) do update
                set revision = embedding_revisions.revision + 1, changed_by = excluded.changed_by, changed_at = now()
            returning * into known;
    else
        update embedding_revisions set revision = revision + 1, changed_by = pg_current_xact_id(), changed_at = now()
            where gallery_id = of_gallery and model_id = of_model returning * into known;
    end if;
    if known.revision % 1000 = 0 and 50000 <
        (select count(*) from embedding_changes where gallery_id = of_gallery and model_id = of_model)
    then  -- who is further behind reads all rows again
        delete from embedding_changes where gallery_id = of_gallery and model_id = of_model;
        update embedding_revisions set logged_since = known.revision - 1 where gallery_id = of_gallery and model_id = of_model;
    end if;
    return known.revision;
end $$;

-- Log a few changes; after many at once it is cheaper to read all rows again.
create function log_embedding_changes(of_gallery uuid, of_model text, sample_ids uuid[], changes bigint, may_create boolean)
returns void language plpgsql as $$
declare
    this bigint := next_embedding_revision(of_gallery, of_model, may_create);
begin
    if this is null then
        return;
    elsif changes > 10000 then
        update embedding_revisions set logged_since = this where gallery_id = of_gallery and model_id = of_model;
    else
        insert into embedding_changes select of_gallery, of_model, this, unnest(sample_ids);
    end if;
end $$;

create function sample_embeddings_changed() returns trigger language plpgsql as $$
begin
    perform log_embedding_changes(gallery_id, model_id, sample_ids, changes, tg_op <> 'DELETE') from (
        select gallery_id, model_id, count(*) as changes,
               case when count(*) <= 10000 then array_agg(sample_id) end as sample_ids
        from changed group by gallery_id, model_id order by gallery_id, model_id
    ) as galleries;
    return null;
end $$;
create trigger sample_embeddings_added after insert on sample_embeddings
    referencing new table as changed for each statement execute function sample_embeddings_changed();
create trigger sample_embeddings_removed after delete on sample_embeddings
    referencing old table as changed for each statement execute function sample_embeddings_changed();
create trigger sample_embeddings_left after update on sample_embeddings
    referencing old table as changed for each statement execute function sample_embeddings_changed();
create trigger sample_embeddings_came after update on sample_embeddings
    referencing new table as changed for each statement execute function sample_embeddings_changed();

-- A gallery takes its counters along first, so that the removal of its samples, one by one, counts nothing.
create function forget_embedding_revisions() returns trigger language plpgsql as $$
begin
    delete from embedding_changes where gallery_id = old.id;
    delete from embedding_revisions where gallery_id = old.id;
    return old;
end $$;
create trigger galleries_forget_revisions before delete on galleries
    for each row execute function forget_embedding_revisions();

-- What is there already, so that its first removal is counted too.
insert into embedding_revisions
    select distinct gallery_id, model_id, 0, 0, pg_current_xact_id(), '-infinity'::timestamptz from sample_embeddings;
