-- Who did what to whom; which exports hold whom; erasing somebody everywhere; and pictures recognised as sent before.

-- Append-only. No images, no embeddings, no names: ids and counts. A row is written in the transaction of its effect.
create table audit (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    action text not null,
    key_id text not null,                       -- API key; empty on a server that needs none
    request_id text not null,
    gallery text,                               -- its name then
    subject_ids uuid[] not null default '{}',
    job_id uuid,
    counts jsonb not null default '{}',
    receipt jsonb                               -- of an erasure
);
create index audit_by_action on audit (action, id);
create index audit_by_subject on audit using gin (subject_ids);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the audit is append-only';
end $$;
create trigger audit_is_append_only before update or delete or truncate on audit
    for each statement execute function refuse_change();

-- An export leaves the house: whom it holds is kept, so that an erasure can name it.
create table exports (
    id uuid primary key,
    gallery_id uuid not null,                   -- outlives the gallery
    gallery text not null,
    label text,                                 -- what the caller says it is, such as a file name
    key_id text not null,
    began_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz                        -- null: the caller left before the end
);
create table exported_subjects (
    subject_id uuid not null,
    export_id uuid not null references exports on delete cascade,
    primary key (subject_id, export_id)
);

-- Whoever was erased. Work that was under way meanwhile still knows the id: what it stores is cleaned of it.
create table erased_subjects (
    subject_id uuid primary key
);

-- Blobs whose rows are gone: a promise made in the transaction that removed the rows, kept by the API or the sweeper.
create table doomed_blobs (
    prefix text primary key,
    since timestamptz not null default now()
);

alter table samples add column image_sha256 text check (image_sha256 ~ '^[0-9a-f]{64}$');  -- of the file as it was sent
create unique index samples_by_image on samples (subject_id, image_sha256);
create index subjects_by_name on subjects (gallery_id, name);

-- Whether a document is about `id`: it, or a field of it at any depth, is the id. Lists are not looked into.
create function is_about(document jsonb, id text) returns boolean language plpgsql immutable as $$
begin
    if jsonb_typeof(document) = 'object' then
        return exists (select 1 from jsonb_each(document) as field where is_about(field.value, id));
    end if;
    return jsonb_typeof(document) = 'string' and document #>> '{}' = id;
end $$;

-- A document whose lists have lost every member about `id`, and whose fields about it are null.
create function without_id(document jsonb, id text) returns jsonb language plpgsql immutable as $$
begin
    if position(id in document::text) = 0 then
        return document;
    elsif jsonb_typeof(document) = 'array' then
        return coalesce(
            (select jsonb_agg(without_id(item, id) order by place)
               from jsonb_array_elements(document) with ordinality as of (item, place) where not is_about(item, id)),
            '[]'
        );
    elsif jsonb_typeof(document) = 'object' then
        return coalesce(
            (select jsonb_object_agg(key, case when is_about(value, id) then 'null' else without_id(value, id) end)
               from jsonb_each(document) where key <> id),
            '{}'
        );
    end if;
    return case when is_about(document, id) then 'null' else document end;
end $$;

create function forget_erased() returns trigger language plpgsql as $$
declare
    erased uuid;
begin
    for erased in
        select e.subject_id from erased_subjects e
         where e.subject_id in (select (c ->> 'subject_id')::uuid from jsonb_array_elements(new.candidates) as c)
    loop
        new.candidates := without_id(new.candidates, erased::text);
    end loop;
    return new;
end $$;
create trigger tracks_forget_erased before insert or update of candidates on tracks
    for each row execute function forget_erased();
