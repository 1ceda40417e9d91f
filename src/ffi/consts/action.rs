//! Durable actions and their store.

/// Action phase result: go on with the next phase, or with the one that dtm_action_jump()
/// named, after the wait that dtm_action_wait() asked for. After the last phase: done.
pub const DTM_ACTION_NEXT: i32 = 0;
/// Action phase result: the action is complete.
pub const DTM_ACTION_DONE: i32 = 1;
/// Action phase result: run this phase again, as a new step, after its wait.
pub const DTM_ACTION_AGAIN: i32 = 2;
/// Action phase result: this attempt goes on in the background. The callback is called
/// again, in the same attempt, after dtm_action_wake() or at the limit that
/// dtm_action_wait() set, or when what dtm_txn_fetch() has asked for is there. What it has
/// put into the transaction is dropped.
pub const DTM_ACTION_PENDING: i32 = 3;
/// Action phase result: give the instance up now, without further attempts.
pub const DTM_ACTION_FAIL: i32 = 4;

/// Wait: for some time.
pub const DTM_WAIT_TIME: u32 = 0;
/// Wait: until all workers are open and up to date, and none waits for a replacement.
pub const DTM_WAIT_UPDATED: u32 = 1;
/// Wait: until no worker drains any more.
pub const DTM_WAIT_DRAINED: u32 = 2;
/// Wait: until an operator says go.
pub const DTM_WAIT_GO: u32 = 3;

/// Verb of dtm_action_control(): no further step is begun until it is resumed.
pub const DTM_VERB_PAUSE: u32 = 1;
/// Verb of dtm_action_control(): go on; a parked instance gets its attempts anew.
pub const DTM_VERB_RESUME: u32 = 2;
/// Verb of dtm_action_control(): end it where it stands.
pub const DTM_VERB_CANCEL: u32 = 3;
/// Verb of dtm_action_control(): the go that it waits for.
pub const DTM_VERB_GO: u32 = 4;

/// Instance state: has its turn soon.
pub const DTM_INSTANCE_ACTIVE: u32 = 1;
/// Instance state: waits, see DTM_WAIT_*.
pub const DTM_INSTANCE_WAITING: u32 = 2;
/// Instance state: paused by an operator.
pub const DTM_INSTANCE_PAUSED: u32 = 3;
/// Instance state: its attempts are used up; an operator may resume or cancel it.
pub const DTM_INSTANCE_PARKED: u32 = 4;
/// Instance state: complete.
pub const DTM_INSTANCE_DONE: u32 = 5;
/// Instance state: cancelled by an operator.
pub const DTM_INSTANCE_CANCELLED: u32 = 6;
/// Instance state: it has said DTM_ACTION_FAIL.
pub const DTM_INSTANCE_FAILED: u32 = 7;

/// Store write: change nothing, only compare the version.
pub const DTM_WRITE_CHECK: u32 = 0;
/// Store write: set the value.
pub const DTM_WRITE_PUT: u32 = 1;
/// Store write: remove the key.
pub const DTM_WRITE_DELETE: u32 = 2;
/// Expected version of a write: whatever it is.
pub const DTM_VERSION_ANY: u64 = u64::MAX;
/// What a store's call answers that has to wait, see dtm_store_t.
pub const DTM_STORE_AGAIN: i32 = 1;

/// Longest arguments of an action, in bytes.
pub const DTM_ARGS_MAX: usize = 4096;
/// Most instances that are not finished; starting one more is -ENOSPC.
pub const DTM_INSTANCES_MAX: u32 = 16384;
/// Most keys that a phase can read and change through its transaction.
pub const DTM_TXN_KEYS_MAX: u32 = 64;
/// Longest key of dtm_txn_put(), in bytes.
pub const DTM_TXN_KEY_MAX: usize = 128;
/// Longest value of dtm_txn_put(), in bytes.
pub const DTM_TXN_VALUE_MAX: usize = 16384;
