-- Embeddings of tracklets are read back by the finish step alone, and pictures and random numbers do not compress: bytes
-- that nobody parses, stored as they come.

create function pg_temp.bytes_of(numbers real[]) returns bytea language sql immutable as $$
    select coalesce(string_agg(float4send(number), '' order by place), '')
    from unnest(numbers) with ordinality as one (number, place)
$$;

alter table tracklets
    alter column embedding type bytea using pg_temp.bytes_of(embedding),              -- unit length, big-endian float32
    alter column crop_embeddings type bytea using pg_temp.bytes_of(crop_embeddings);  -- one after the other, one a crop
alter table tracklets
    alter column embedding set storage external,
    alter column crop_embeddings set storage external,
    alter column crops set storage external,
    alter column thumbnail set storage external;
