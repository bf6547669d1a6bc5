"""The thread pool and the list of free workspaces, as LLVM text. Linux only: it sleeps on futexes.

`sg_parallel(task, packed, tasks, threads)` calls task(packed, begin, end) on ranges that cover [0, tasks)
and returns when all are done. The tasks are split evenly among the participants; a participant that is
done takes chunks of those that are late, so a thread that the system does not schedule delays nobody. The
caller takes part. Where the pool is busy with another caller's job, the caller does all by itself. So it
does for the next jobs, the more the oftener it happens, when it had to sleep for the others longer than it
worked itself: then the cores are taken by other programs, and sharing a small job costs whole time slices.

One job is `@participants` tickets, each a counter of CHUNKS chunks, tagged in its upper half with the
job's generation: a worker that comes late finds another tag and touches nothing else of the job.
Workers look for a new generation for some microseconds, then sleep until one is announced.
"""

from __future__ import annotations

from compiler.llvm.entry_state import WORKSPACE_NEXT, State

MOST_THREADS = 256
CHUNKS = 4
# About 10 to 40 us: the instruction that pauses takes 40 to 140 cycles.
SPINS = 800
MOST_ALONE = 255
MONOTONIC_CLOCK = 1
FUTEX_NUMBER = {"x86_64": 202, "aarch64": 98, "riscv64": 98}
FUTEX_WAIT, FUTEX_WAKE = 128, 129  # with FUTEX_PRIVATE_FLAG
PAUSE = {
    "x86_64": ("call void @llvm.x86.sse2.pause()", "declare void @llvm.x86.sse2.pause()"),
    "aarch64": ("call void @llvm.aarch64.hint(i32 1)", "declare void @llvm.aarch64.hint(i32)"),
}
BLOCK_SIGNALS, RESTORE_SIGNALS = 0, 2  # SIG_BLOCK, SIG_SETMASK

GLOBALS = f"""
@busy = internal global i32 0, align 64
@generation = internal global i32 0, align 64
@sleepers = internal global i32 0, align 64
@finished = internal global i32 0, align 64
@waiting = internal global i32 0, align 4
@tickets = internal global [{MOST_THREADS} x [8 x i64]] zeroinitializer, align 64
@workers = internal global i32 0, align 64
@participants = internal global i32 0, align 4
@task = internal global ptr null, align 8
@packed = internal global ptr null, align 8
@tasks = internal global i64 0, align 8
@thread_create = internal global ptr null, align 8
@thread_detach = internal global ptr null, align 8
@signal_mask = internal global ptr null, align 8
@system_call = internal global ptr null, align 8
@clock = internal global ptr null, align 8
@alone_jobs = internal global i32 0, align 4
@penalty = internal global i32 0, align 4
"""

SETUP = """
define void @sg_setup(ptr %create, ptr %detach, ptr %mask, ptr %call, ptr %clock) nounwind {
  store ptr %clock, ptr @clock
  store ptr %create, ptr @thread_create
  store ptr %detach, ptr @thread_detach
  store ptr %mask, ptr @signal_mask
  store ptr %call, ptr @system_call
  ret void
}

; In the child of a fork there are no workers, whatever the parent was doing.
define void @sg_reset() nounwind {
  store atomic i32 0, ptr @workers seq_cst, align 4
  store atomic i32 0, ptr @sleepers seq_cst, align 4
  store atomic i32 0, ptr @waiting seq_cst, align 4
  store atomic i32 0, ptr @busy seq_cst, align 4
  ret void
}
"""

PARALLEL = """
define void @sg_parallel(ptr %task, ptr %packed, i64 %tasks, i64 %threads) nounwind {
  %exchange = cmpxchg ptr @busy, i32 0, i32 1 acquire monotonic
  %mine = extractvalue { i32, i1 } %exchange, 1
  br i1 %mine, label %consider, label %alone
consider:
  %pending = load i32, ptr @alone_jobs
  %rather = icmp sgt i32 %pending, 0
  br i1 %rather, label %abstain, label %prepare
abstain:
  %fewer_pending = sub i32 %pending, 1
  store i32 %fewer_pending, ptr @alone_jobs
  br label %release
prepare:
  %fewer = call i64 @llvm.smin.i64(i64 %threads, i64 %tasks)
  %bounded = call i64 @llvm.smin.i64(i64 %fewer, i64 MOST)
  %wanted = trunc i64 %bounded to i32
  %available = call i32 @ensure(i32 %wanted)
  %several = icmp sgt i32 %available, 1
  br i1 %several, label %publish, label %release
release:
  store atomic i32 0, ptr @busy release, align 4
  br label %alone
alone:
  call void %task(ptr %packed, i64 0, i64 %tasks)
  ret void
publish:
  store ptr %task, ptr @task
  store ptr %packed, ptr @packed
  store i64 %tasks, ptr @tasks
  store atomic i32 %available, ptr @participants monotonic, align 4
  store atomic i32 0, ptr @finished monotonic, align 4
  %last = load atomic i32, ptr @generation monotonic, align 4
  %job = add i32 %last, 1
  %wide = zext i32 %job to i64
  %tag = shl i64 %wide, 32
  br label %tickets
tickets:
  %i = phi i32 [ 0, %publish ], [ %next, %tickets ]
  %ticket = getelementptr [8 x i64], ptr @tickets, i32 %i
  store atomic i64 %tag, ptr %ticket release, align 8
  %next = add i32 %i, 1
  %more = icmp slt i32 %next, %available
  br i1 %more, label %tickets, label %announce
announce:
  store atomic i32 %job, ptr @generation seq_cst, align 4
  %asleep = load atomic i32, ptr @sleepers seq_cst, align 4
  %some = icmp sgt i32 %asleep, 0
  br i1 %some, label %wake, label %work
wake:
  call void @futex(ptr @generation, i32 WAKE, i32 2147483647)
  br label %work
work:
  %started = call i64 @now()
  call void @work(i32 %job, i32 0)
  %worked = call i64 @now()
  %chunks = mul i32 %available, CHUNKS
  br label %spin
spin:
  %spins = phi i32 [ 0, %work ], [ %spun, %again ]
  %count = load atomic i32, ptr @finished acquire, align 4
  %all = icmp eq i32 %count, %chunks
  br i1 %all, label %prompt, label %again
again:
  PAUSE
  %spun = add i32 %spins, 1
  %patient = icmp slt i32 %spun, SPINS
  br i1 %patient, label %spin, label %doze
doze:
  store atomic i32 1, ptr @waiting seq_cst, align 4
  %now = load atomic i32, ptr @finished seq_cst, align 4
  %ready = icmp eq i32 %now, %chunks
  br i1 %ready, label %awake, label %sleep
sleep:
  call void @futex(ptr @finished, i32 WAIT, i32 %now)
  br label %doze
awake:
  store atomic i32 0, ptr @waiting seq_cst, align 4
  %joined = call i64 @now()
  %work_time = sub i64 %worked, %started
  %wait_time = sub i64 %joined, %worked
  %late = icmp sgt i64 %wait_time, %work_time
  br i1 %late, label %punish, label %prompt
punish:
  %penalty = load i32, ptr @penalty
  %doubled = mul i32 %penalty, 2
  %raised = add i32 %doubled, 1
  %limited = call i32 @llvm.smin.i32(i32 %raised, i32 PENALTY)
  store i32 %limited, ptr @penalty
  store i32 %limited, ptr @alone_jobs
  br label %done
prompt:
  %past = load i32, ptr @penalty
  %milder = lshr i32 %past, 1
  store i32 %milder, ptr @penalty
  br label %done
done:
  store atomic i32 0, ptr @busy release, align 4
  ret void
}
"""

WORK = """
; Takes chunks of the job: first the participant's own, then those of the others.
define internal void @work(i32 %job, i32 %self) nounwind {
  %participants = load atomic i32, ptr @participants monotonic, align 4
  br label %victims
victims:
  %offset = phi i32 [ 0, %0 ], [ %following, %exhausted ]
  %sum = add i32 %self, %offset
  %victim = urem i32 %sum, %participants
  %ticket = getelementptr [8 x i64], ptr @tickets, i32 %victim
  br label %claim
claim:
  %seen = load atomic i64, ptr %ticket acquire, align 8
  %tag = lshr i64 %seen, 32
  %generation = trunc i64 %tag to i32
  %current = icmp eq i32 %generation, %job
  br i1 %current, label %open, label %over
open:
  %low = trunc i64 %seen to i32
  %left = icmp ult i32 %low, CHUNKS
  br i1 %left, label %take, label %exhausted
take:
  %advanced = add i64 %seen, 1
  %exchange = cmpxchg ptr %ticket, i64 %seen, i64 %advanced acq_rel monotonic
  %taken = extractvalue { i64, i1 } %exchange, 1
  br i1 %taken, label %run, label %claim
run:
  %tasks = load i64, ptr @tasks
  %first = mul i32 %victim, CHUNKS
  %chunk = add i32 %first, %low
  %number = zext i32 %chunk to i64
  %chunks32 = mul i32 %participants, CHUNKS
  %chunks = zext i32 %chunks32 to i64
  %above = add i64 %number, 1
  %a = mul i64 %tasks, %number
  %b = mul i64 %tasks, %above
  %begin = udiv i64 %a, %chunks
  %end = udiv i64 %b, %chunks
  %some = icmp ult i64 %begin, %end
  br i1 %some, label %call, label %finish
call:
  %task = load ptr, ptr @task
  %packed = load ptr, ptr @packed
  call void %task(ptr %packed, i64 %begin, i64 %end)
  br label %finish
finish:
  %before = atomicrmw add ptr @finished, i32 1 seq_cst
  %waits = load atomic i32, ptr @waiting seq_cst, align 4
  %sleeping = icmp ne i32 %waits, 0
  br i1 %sleeping, label %wake, label %claim
wake:
  call void @futex(ptr @finished, i32 WAKE, i32 1)
  br label %claim
exhausted:
  %following = add i32 %offset, 1
  %more = icmp slt i32 %following, %participants
  br i1 %more, label %victims, label %over
over:
  ret void
}
"""

WORKER = """
; The body of a thread: `number` is 1 for the first worker; the caller of a job is participant 0.
define internal ptr @worker(ptr %number) nounwind {
  %wide = ptrtoint ptr %number to i64
  %self = trunc i64 %wide to i32
  br label %look
look:
  %known = phi i32 [ 0, %0 ], [ %known, %pause ], [ %known, %sleep ], [ %job, %part ], [ %job, %enter ]
  ; A worker that is not invited goes back to sleep at once.
  %spins = phi i32 [ 0, %0 ], [ %spun, %pause ], [ 0, %sleep ], [ 0, %part ], [ SPINS, %enter ]
  %job = load atomic i32, ptr @generation acquire, align 4
  %fresh = icmp ne i32 %job, %known
  br i1 %fresh, label %enter, label %wait
wait:
  %patient = icmp slt i32 %spins, SPINS
  br i1 %patient, label %pause, label %sleep
pause:
  PAUSE
  %spun = add i32 %spins, 1
  br label %look
sleep:
  %one = atomicrmw add ptr @sleepers, i32 1 seq_cst
  call void @futex(ptr @generation, i32 WAIT, i32 %known)
  %less = atomicrmw sub ptr @sleepers, i32 1 seq_cst
  br label %look
enter:
  %participants = load atomic i32, ptr @participants monotonic, align 4
  %invited = icmp slt i32 %self, %participants
  br i1 %invited, label %part, label %look
part:
  call void @work(i32 %job, i32 %self)
  br label %look
}

; Starts workers until `wanted` participants are there; returns how many of them there are.
define internal i32 @ensure(i32 %wanted) nounwind {
  %id = alloca i64, align 8
  %all = alloca [16 x i64], align 16
  %saved = alloca [16 x i64], align 16
  %before = load i32, ptr @workers
  %have = add i32 %before, 1
  %enough = icmp sge i32 %have, %wanted
  br i1 %enough, label %ready, label %block
ready:
  ret i32 %wanted
block:
  ; Signals are for the threads of the program: workers must not take them.
  %mask = load ptr, ptr @signal_mask
  store <16 x i64> splat (i64 -1), ptr %all, align 16
  %ignored = call i32 %mask(i32 BLOCK_SIGNALS, ptr %all, ptr %saved)
  %create = load ptr, ptr @thread_create
  %detach = load ptr, ptr @thread_detach
  br label %start
start:
  %number = phi i32 [ %have, %block ], [ %following, %started ]
  %short = icmp slt i32 %number, %wanted
  br i1 %short, label %launch, label %stop
launch:
  %wide = zext i32 %number to i64
  %argument = inttoptr i64 %wide to ptr
  %error = call i32 %create(ptr %id, ptr null, ptr @worker, ptr %argument)
  %failed = icmp ne i32 %error, 0
  br i1 %failed, label %stop, label %started
started:
  %thread = load i64, ptr %id
  %detached = call i32 %detach(i64 %thread)
  %following = add i32 %number, 1
  br label %start
stop:
  %count = sub i32 %number, 1
  store i32 %count, ptr @workers
  %restored = call i32 %mask(i32 RESTORE_SIGNALS, ptr %saved, ptr null)
  ret i32 %number
}

define internal void @futex(ptr %word, i32 %operation, i32 %value) nounwind {
  %call = load ptr, ptr @system_call
  %r = call i64 (i64, ...) %call(i64 FUTEX, ptr %word, i32 %operation, i32 %value, ptr null, ptr null, i32 0)
  ret void
}

define internal i64 @now() nounwind {
  %time = alloca [2 x i64], align 8
  %clock = load ptr, ptr @clock
  %r = call i32 %clock(i32 MONOTONIC, ptr %time)
  %seconds = load i64, ptr %time
  %place = getelementptr i8, ptr %time, i64 8
  %nanoseconds = load i64, ptr %place
  %scaled = mul i64 %seconds, 1000000000
  %sum = add i64 %scaled, %nanoseconds
  ret i64 %sum
}

declare i64 @llvm.smin.i64(i64, i64)
declare i32 @llvm.smin.i32(i32, i32)
"""

WORKSPACES = f"""
; The list of free workspaces of a function's state. Callers hold the GIL.
define void @sg_push(ptr %state, ptr %workspace) nounwind {{
  %head = getelementptr i8, ptr %state, i64 {8 * State.WORKSPACES}
  %link = getelementptr i8, ptr %workspace, i64 {WORKSPACE_NEXT}
  %first = load ptr, ptr %head
  store ptr %first, ptr %link
  store ptr %workspace, ptr %head
  ret void
}}

define ptr @sg_pop(ptr %state) nounwind {{
  %head = getelementptr i8, ptr %state, i64 {8 * State.WORKSPACES}
  %first = load ptr, ptr %head
  %empty = icmp eq ptr %first, null
  br i1 %empty, label %none, label %some
none:
  ret ptr null
some:
  %link = getelementptr i8, ptr %first, i64 {WORKSPACE_NEXT}
  %following = load ptr, ptr %link
  store ptr %following, ptr %head
  ret ptr %first
}}
"""


def runtime_text(triple: str) -> str:
    """The module with sg_setup, sg_reset, sg_parallel, sg_push and sg_pop."""
    architecture = triple.partition("-")[0]
    pause, declaration = PAUSE.get(architecture, ("", ""))
    constants = {
        "BLOCK_SIGNALS": BLOCK_SIGNALS, "RESTORE_SIGNALS": RESTORE_SIGNALS, "CHUNKS": CHUNKS,
        "MOST": MOST_THREADS, "SPINS": SPINS, "WAIT": FUTEX_WAIT, "WAKE": FUTEX_WAKE,
        "PENALTY": MOST_ALONE, "MONOTONIC": MONOTONIC_CLOCK,
        "FUTEX": FUTEX_NUMBER.get(architecture, 0), "PAUSE": pause,
    }
    text = "".join((SETUP, PARALLEL, WORK, WORKER))
    for name, value in constants.items():
        text = text.replace(f" {name}", f" {value}")
    # Optimizing this text takes LLVM 40 ms and gains nothing: it waits for memory, not for instructions.
    text = "".join((text, WORKSPACES)).replace(") nounwind {", ") noinline nounwind optnone {")
    return "".join((GLOBALS, text, declaration, "\n"))


def has_pool(triple: str) -> bool:
    """Whether the pool can run there: Linux on an architecture whose futex call is known."""
    return "linux" in triple and triple.partition("-")[0] in FUTEX_NUMBER
