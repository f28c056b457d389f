-- Bulk jobs: work over what is stored (re-index, re-match, calibrate) with the same steps, leases and retries as media.
-- frames_done and frames_total count their items; blob_key is empty.

alter table jobs add column kind text not null default 'media'
    check (kind in ('media', 'reindex', 'rematch', 'calibrate'));
alter table jobs add column report jsonb;       -- what a bulk job found; of a media job: what a re-match changed last
create index jobs_bulk on jobs (kind, created_at desc, id desc) where kind <> 'media';
create index jobs_by_gallery on jobs (gallery_id, created_at) where gallery_id is not null;

alter table steps drop constraint steps_kind_check;
alter table steps add constraint steps_kind_check
    check (kind in ('plan', 'segment', 'finish', 'survey', 'chunk', 'conclude'));
alter table steps add column work jsonb;        -- chunks only: what is to be done
alter table steps add column items int not null default 0;  -- chunks only: how many items that is
alter table steps add column result jsonb;      -- chunks only: what came of it, for the conclusion

-- A gallery may hold embeddings of another model beside the live ones of galleries.model_id: a shadow index while a
-- re-index builds it, and the former index afterwards, until it is cleaned away.
alter table galleries add column previous_model_id text;
alter table galleries add column previous_min_similarity real check (previous_min_similarity between -1 and 1);

alter table sample_embeddings drop constraint sample_embeddings_pkey;
alter table sample_embeddings add primary key (sample_id, model_id);
alter table track_embeddings drop constraint track_embeddings_pkey;
alter table track_embeddings add primary key (job_id, track, model_id);
