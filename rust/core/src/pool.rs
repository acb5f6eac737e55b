//! spinray's own thread pool, never shared with ATen's: one per process, rebuilt after a fork. A thread that makes many
//! small calls computes them by itself.
//!
//! A forked child (a DataLoader worker) inherits the pool's memory but none of its threads: waiting on
//! it would hang. The pool is therefore kept beside the process id that built it, behind an atomic
//! pointer (a lock could have been held by a thread that no longer exists), and a child starts its own
//! with one thread, since its siblings already fill the machine.

use crate::{Error, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

struct PerProcess {
    pid: u32,
    pool: Mutex<Option<Arc<ThreadPool>>>,
}

static CURRENT: AtomicPtr<PerProcess> = AtomicPtr::new(std::ptr::null_mut());
static FIRST_PID: AtomicU32 = AtomicU32::new(0);

/// This process's entry; the few bytes of a parent's are left behind on purpose.
fn per_process() -> &'static PerProcess {
    let pid = std::process::id();
    let _ = FIRST_PID.compare_exchange(0, pid, SeqCst, SeqCst);
    let current = CURRENT.load(SeqCst);
    // SAFETY: entries are leaked, so a pointer once stored stays valid for ever.
    if let Some(entry) = unsafe { current.as_ref() }
        && entry.pid == pid
    {
        return entry;
    }
    let fresh = Box::into_raw(Box::new(PerProcess { pid, pool: Mutex::new(None) }));
    match CURRENT.compare_exchange(current, fresh, SeqCst, SeqCst) {
        // SAFETY: `fresh` was just leaked.
        Ok(_) => unsafe { &*fresh },
        Err(winner) => {
            // SAFETY: nobody else has seen `fresh`; `winner` is a leaked entry of this process.
            unsafe {
                drop(Box::from_raw(fresh));
                &*winner
            }
        }
    }
}

/// Remembers the process that loaded the library, to tell forked children from it.
pub fn initialise() {
    per_process();
}

/// True in a process forked from the one that loaded the library.
pub fn is_forked_child() -> bool {
    per_process().pid != FIRST_PID.load(SeqCst)
}

fn build(threads: usize) -> Result<Arc<ThreadPool>> {
    let builder = ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("spinray-{i}"));
    let pool = builder.build().map_err(|error| {
        Error::invalid("num_threads", format!("the system refused to start {threads} threads ({error}); ask for fewer"))
    })?;
    Ok(Arc::new(pool))
}

/// `OMP_NUM_THREADS` or `RAYON_NUM_THREADS` where set, else the processors this process may use
/// (affinity and cgroup limits counted); one in a forked child.
pub fn default_threads() -> usize {
    if is_forked_child() {
        return 1;
    }
    let available = std::thread::available_parallelism().map_or(1, |n| n.get());
    let asked = |name| std::env::var(name).ok()?.trim().parse::<usize>().ok().filter(|&n| n > 0);
    asked("OMP_NUM_THREADS").or_else(|| asked("RAYON_NUM_THREADS")).unwrap_or(available).min(1024)
}

/// The pool of this process.
pub fn pool() -> Result<Arc<ThreadPool>> {
    let mut slot = per_process().pool.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pool) = &*slot {
        return Ok(pool.clone());
    }
    Ok(slot.insert(build(default_threads())?).clone())
}

/// Numbers read and written up to which a linear kernel may stay in the calling thread: projecting an image and a
/// sinogram of so many takes one thread some 70 microseconds, and about as long goes by until threads of the pool are
/// awake, and have woken the caller.
const FEW: usize = 1 << 12;

/// Such calls of a thread before it becomes a pool of its own, and how many threads may: rayon never frees the 8 kB that
/// each takes, so those that come and go must not.
const CALLS: u32 = 64;
const POOLS: u32 = 1000;

static POOLS_OF_THREADS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static SMALL_CALLS: Cell<u32> = const { Cell::new(0) };
    static OF_THIS_THREAD: OnceCell<Arc<ThreadPool>> = const { OnceCell::new() };
}

/// The pool for a kernel that reads and writes `numbers` numbers: for a few, in a thread that makes many such calls, one
/// that consists of this thread.
pub fn pool_for(numbers: usize) -> Result<Arc<ThreadPool>> {
    if numbers > FEW {
        return pool();
    }
    let own = OF_THIS_THREAD.try_with(|own| {
        if own.get().is_none() && SMALL_CALLS.get() < CALLS {
            SMALL_CALLS.set(SMALL_CALLS.get() + 1);
            // Once: a thread of some pool cannot be another one, and none is asked twice.
            if SMALL_CALLS.get() == CALLS && POOLS_OF_THREADS.fetch_add(1, SeqCst) < POOLS {
                let alone = ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
                let _ = alone.map(|alone| own.set(Arc::new(alone)));
            }
        }
        own.get().cloned()
    });
    own.ok().flatten().map_or_else(pool, Ok)
}

/// Replaces the pool of this process by one of `threads` threads; running calls keep the old one.
pub fn set_threads(threads: usize) -> Result<()> {
    let fresh = build(threads.max(1))?;
    *per_process().pool.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_has_the_size_asked_for() {
        for (asked, given) in [(3, 3), (0, 1)] {
            set_threads(asked).unwrap();
            assert_eq!(pool().unwrap().current_num_threads(), given);
        }
    }

    #[test]
    fn a_thread_of_many_small_calls_is_its_own_pool() {
        let kernel = || (rayon::current_thread_index(), rayon::current_num_threads());
        let calls = move || {
            for _ in 1..CALLS {
                pool_for(FEW).unwrap();
                assert!(rayon::current_thread_index().is_none());
            }
            assert_eq!(pool_for(FEW).unwrap().install(kernel), (Some(0), 1));
            assert_eq!(std::thread::current().id(), pool_for(0).unwrap().install(|| std::thread::current().id()));
            assert_ne!(std::thread::current().id(), pool_for(FEW + 1).unwrap().install(|| std::thread::current().id()));
        };
        std::thread::spawn(calls).join().unwrap();
        // Threads of a pool stay that.
        let many = || (1..CALLS).for_each(|_| drop(pool_for(0).unwrap()));
        let inside = || {
            many();
            pool_for(0).unwrap();
            rayon::current_num_threads()
        };
        assert_eq!(build(3).unwrap().install(inside), 3);
        // Threads that come and go do not become pools for ever.
        let is_alone = move || {
            many();
            pool_for(0).unwrap().current_thread_index().is_some()
        };
        let pools = (0..POOLS + 10).filter(|_| std::thread::spawn(is_alone).join().unwrap()).count();
        assert_eq!(pools, POOLS as usize - 2);
    }
}
