//! The built-in tables, as CQL has them in Cassandra 4.1 (and `column_masks` of 5.0).

/// Keyspaces, and their tables without `CREATE TABLE`.
pub(super) const KEYSPACES: &[(&str, &[&str])] = &[
    ("system", SYSTEM),
    ("system_auth", AUTH),
    ("system_schema", SCHEMA),
    ("system_traces", TRACES),
    ("system_virtual_schema", VIRTUAL),
];

const SYSTEM: &[&str] = &[
    "local (key text PRIMARY KEY, bootstrapped text, broadcast_address inet, broadcast_port int, cluster_name text,
        cql_version text, data_center text, gossip_generation int, host_id uuid, listen_address inet, listen_port int,
        native_protocol_version text, partitioner text, rack text, release_version text, rpc_address inet,
        rpc_port int, schema_version uuid, tokens set<text>, truncated_at map<uuid, blob>)
        WITH comment = 'information about the local node'",
    "peers (peer inet PRIMARY KEY, data_center text, host_id uuid, preferred_ip inet, rack text,
        release_version text, rpc_address inet, schema_version uuid, tokens set<text>)
        WITH comment = 'information about the other nodes'",
    "peers_v2 (peer inet, peer_port int, data_center text, host_id uuid, native_address inet, native_port int,
        preferred_ip inet, preferred_port int, rack text, release_version text, schema_version uuid,
        tokens set<text>, PRIMARY KEY (peer, peer_port)) WITH comment = 'information about the other nodes'",
    "size_estimates (keyspace_name text, table_name text, range_start text, range_end text,
        mean_partition_size bigint, partitions_count bigint,
        PRIMARY KEY (keyspace_name, table_name, range_start, range_end))
        WITH comment = 'sizes of token ranges'",
];

const AUTH: &[&str] = &[
    "roles (role text PRIMARY KEY, can_login boolean, is_superuser boolean, member_of set<text>, salted_hash text)",
    "role_members (role text, member text, PRIMARY KEY (role, member))",
    "role_permissions (role text, resource text, permissions set<text>, PRIMARY KEY (role, resource))",
];

const SCHEMA: &[&str] = &[
    "keyspaces (keyspace_name text PRIMARY KEY, durable_writes boolean, replication frozen<map<text, text>>)",
    "tables (keyspace_name text, table_name text, additional_write_policy text, bloom_filter_fp_chance double,
        caching frozen<map<text, text>>, cdc boolean, comment text, compaction frozen<map<text, text>>,
        compression frozen<map<text, text>>, crc_check_chance double, dclocal_read_repair_chance double,
        default_time_to_live int, extensions frozen<map<text, blob>>, flags frozen<set<text>>, gc_grace_seconds int,
        id uuid, max_index_interval int, memtable_flush_period_in_ms int, min_index_interval int, read_repair text,
        read_repair_chance double, speculative_retry text, PRIMARY KEY (keyspace_name, table_name))",
    "columns (keyspace_name text, table_name text, column_name text, clustering_order text, column_name_bytes blob,
        kind text, position int, type text, PRIMARY KEY (keyspace_name, table_name, column_name))",
    "dropped_columns (keyspace_name text, table_name text, column_name text, dropped_time timestamp, kind text,
        type text, PRIMARY KEY (keyspace_name, table_name, column_name))",
    "column_masks (keyspace_name text, table_name text, column_name text, function_argument_nulls frozen<list<boolean>>,
        function_argument_types frozen<list<text>>, function_argument_values frozen<list<text>>, function_keyspace text,
        function_name text, PRIMARY KEY (keyspace_name, table_name, column_name))",
    "triggers (keyspace_name text, table_name text, trigger_name text, options frozen<map<text, text>>,
        PRIMARY KEY (keyspace_name, table_name, trigger_name))",
    "views (keyspace_name text, view_name text, additional_write_policy text, base_table_id uuid, base_table_name text,
        bloom_filter_fp_chance double, caching frozen<map<text, text>>, cdc boolean, comment text,
        compaction frozen<map<text, text>>, compression frozen<map<text, text>>, crc_check_chance double,
        dclocal_read_repair_chance double, default_time_to_live int, extensions frozen<map<text, blob>>,
        gc_grace_seconds int, id uuid, include_all_columns boolean, max_index_interval int,
        memtable_flush_period_in_ms int, min_index_interval int, read_repair text, read_repair_chance double,
        speculative_retry text, where_clause text, PRIMARY KEY (keyspace_name, view_name))",
    "indexes (keyspace_name text, table_name text, index_name text, kind text, options frozen<map<text, text>>,
        PRIMARY KEY (keyspace_name, table_name, index_name))",
    "types (keyspace_name text, type_name text, field_names frozen<list<text>>, field_types frozen<list<text>>,
        PRIMARY KEY (keyspace_name, type_name))",
    "functions (keyspace_name text, function_name text, argument_types frozen<list<text>>,
        argument_names frozen<list<text>>, body text, called_on_null_input boolean, language text, return_type text,
        PRIMARY KEY (keyspace_name, function_name, argument_types))",
    "aggregates (keyspace_name text, aggregate_name text, argument_types frozen<list<text>>, final_func text,
        initcond text, return_type text, state_func text, state_type text,
        PRIMARY KEY (keyspace_name, aggregate_name, argument_types))",
];

const TRACES: &[&str] = &[
    "sessions (session_id uuid PRIMARY KEY, client inet, command text, coordinator inet, coordinator_port int,
        duration int, parameters map<text, text>, request text, started_at timestamp)
        WITH comment = 'tracing sessions'",
    "events (session_id uuid, event_id timeuuid, activity text, source inet, source_elapsed int, source_port int,
        thread text, PRIMARY KEY (session_id, event_id)) WITH comment = 'tracing events'",
];

const VIRTUAL: &[&str] = &[
    "keyspaces (keyspace_name text PRIMARY KEY) WITH comment = 'virtual keyspace definitions'",
    "tables (keyspace_name text, table_name text, comment text, PRIMARY KEY (keyspace_name, table_name))
        WITH comment = 'virtual table definitions'",
    "columns (keyspace_name text, table_name text, column_name text, clustering_order text, column_name_bytes blob,
        kind text, position int, type text, PRIMARY KEY (keyspace_name, table_name, column_name))
        WITH comment = 'virtual column definitions'",
];
