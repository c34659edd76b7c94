"""The system calls of RuntimeDefault: what containerd lets a container do (its contrib/seccomp, version 2.1).

Kept as words: names in the order of their subject, which a reader can check against syscalls(2).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALWAYS: Final[frozenset[str]] = _words(
    """
    read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek _llseek
    open openat openat2 creat close close_range dup dup2 dup3 fcntl fcntl64 flock ioctl
    access faccessat faccessat2 stat stat64 lstat lstat64 fstat fstat64 fstatat64 newfstatat statx statfs statfs64
    fstatfs fstatfs64 chdir fchdir getcwd mkdir mkdirat rmdir mknod mknodat link linkat symlink symlinkat
    readlink readlinkat rename renameat renameat2 unlink unlinkat truncate truncate64 ftruncate ftruncate64
    chmod fchmod fchmodat fchmodat2 chown chown32 fchown fchown32 fchownat lchown lchown32 umask
    utime utimes futimesat utimensat utimensat_time64 getdents getdents64
    getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat listxattr llistxattr flistxattr
    listxattrat removexattr lremovexattr fremovexattr removexattrat name_to_handle_at
    file_getattr file_setattr
    sync fsync fdatasync syncfs sync_file_range fallocate fadvise64 fadvise64_64 readahead copy_file_range
    sendfile sendfile64 splice tee vmsplice cachestat
    inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark
    io_setup io_submit io_getevents io_pgetevents io_pgetevents_time64 io_cancel io_destroy ioprio_get ioprio_set

    select _newselect pselect6 pselect6_time64 poll ppoll ppoll_time64 epoll_create epoll_create1 epoll_ctl
    epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4 pipe pipe2
    socketcall socketpair bind connect listen accept accept4 getsockname getpeername getsockopt setsockopt
    shutdown send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64

    brk mmap mmap2 munmap mremap mprotect msync madvise mincore mlock mlock2 mlockall munlock munlockall mseal
    remap_file_pages memfd_create memfd_secret membarrier pkey_alloc pkey_free pkey_mprotect map_shadow_stack
    process_mrelease rseq

    fork vfork execve execveat exit exit_group wait4 waitid waitpid getpid getppid gettid getpgid getpgrp setpgid
    getsid setsid kill tkill tgkill pidfd_open pidfd_send_signal prctl seccomp
    get_thread_area set_thread_area set_tid_address get_robust_list set_robust_list restart_syscall
    getpriority setpriority getrlimit ugetrlimit setrlimit prlimit64 getrusage times sysinfo uname getcpu getrandom
    sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam
    sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval
    sched_rr_get_interval_time64 sched_yield landlock_create_ruleset landlock_add_rule landlock_restrict_self
    futex futex_time64 futex_waitv futex_wait futex_wake futex_requeue
    lsm_get_self_attr lsm_set_self_attr lsm_list_modules uretprobe

    getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32 getresgid getresgid32
    getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 setresuid
    setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 setgroups setgroups32 capget capset

    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn signal pause alarm
    clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 nanosleep
    gettimeofday time getitimer setitimer adjtimex clock_adjtime clock_adjtime64
    timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
    timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64

    ipc msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget
    mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink

    ptrace process_vm_readv process_vm_writev
    """
)
"""ptrace and process_vm_*: safe since Linux 4.8, where a tracer can no longer slip past its own filter."""

BY_MACHINE: Final[dict[str, tuple[str, ...]]] = {
    "x86_64": ("arch_prctl", "modify_ldt"),
    "aarch64": ("arm_fadvise64_64", "arm_sync_file_range", "breakpoint", "cacheflush", "set_tls"),
}

BY_CAPABILITY: Final[dict[str, Iterable[str]]] = {
    "DAC_READ_SEARCH": ("open_by_handle_at",),
    "SYS_ADMIN": _words(
        """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount
        open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare
        """
    ),
    "SYS_BOOT": ("reboot",),
    "SYS_CHROOT": ("chroot",),
    "SYS_MODULE": ("delete_module", "init_module", "finit_module"),
    "SYS_PACCT": ("acct",),
    "SYS_PTRACE": ("kcmp", "pidfd_getfd", "process_madvise"),
    "SYS_RAWIO": ("iopl", "ioperm"),
    "SYS_TIME": ("settimeofday", "stime", "clock_settime", "clock_settime64"),
    "SYS_TTY_CONFIG": ("vhangup",),
    "SYS_NICE": ("get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"),
    "SYSLOG": ("syslog",),
    "BPF": ("bpf",),
    "PERFMON": ("perf_event_open",),
}
"""What further calls a capability in the bounding set brings."""

PERSONALITIES: Final[tuple[int, ...]] = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""Arguments of personality(2) that are allowed: Linux, 32 bits, UNAME26 with both, and the question."""

CLONE_NAMESPACES: Final[int] = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: none of them in clone(2)'s flags."""

AF_VSOCK: Final[int] = 40
"""socket(2) of this family is refused: it leads to the hypervisor, past the network namespace."""
