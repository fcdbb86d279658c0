// The one interface for everything that cove asks of the operating system: sockets, readiness, the clock,
// signals. linux_kernel answers with system calls; a simulated kernel can answer from memory, fault by fault, and
// every line above this seam runs unchanged. No other file makes an I/O system call or reads a clock.
//
// Calls answer as the raw system calls do: a result of zero or more, or -errno. Nothing here throws, retries or
// waits, except wait(). Arguments and results mean what the man page of the same name in section 2 says.

#pragma once

#include <cove/runtime/clock.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>

struct sockaddr;
struct msghdr;

namespace cove {

// What epoll reports of a descriptor, by epoll's own bits and in its own layout, so that nobody copies it. Read `data`
// by value: where the layout is packed, a reference to it would be misaligned.
struct
#if defined(__x86_64__)
    [[gnu::packed]]
#endif
    readiness_event {
    std::uint32_t bits = 0;
    std::uint64_t data = 0;
};

// Where a loop's signals arrive. The handler sets the bit of the signal (bit 0 is signal 1) and signals the event
// descriptor; it touches nothing else, so it is safe on any thread at any moment.
struct signal_mailbox {
    std::atomic<std::uint64_t> wanted{0};
    std::atomic<std::uint64_t> pending{0};
    int event_fd = -1;
};

class kernel {
public:
    // epoll's bits and operations under names that need no <sys/epoll.h>; linux_kernel checks that they agree.
    enum : std::uint32_t {
        event_in = 0x001,
        event_urgent = 0x002,
        event_out = 0x004,
        event_error = 0x008,
        event_hang_up = 0x010,
        event_read_hang_up = 0x2000,
        event_one_shot = 1U << 30,
        event_edge = 1U << 31,
    };
    enum class registration { add = 1, remove = 2, modify = 3 };

    kernel() = default;
    kernel(const kernel&) = delete;
    kernel& operator=(const kernel&) = delete;
    virtual ~kernel() = default;

    // The kernel of the loop that runs on this thread, or linux_kernel where none does.
    static kernel& current() noexcept;

    virtual time_point now() noexcept = 0;

    // Sockets. Descriptors are always made non-blocking and close-on-exec.
    virtual int socket(int family, int type, int protocol) noexcept = 0;
    virtual int bind(int fd, const sockaddr* address, unsigned size) noexcept = 0;
    virtual int listen(int fd, int backlog) noexcept = 0;
    virtual int accept(int fd) noexcept = 0;
    virtual int connect(int fd, const sockaddr* address, unsigned size) noexcept = 0;
    virtual int shutdown(int fd, int how) noexcept = 0;
    virtual int local_address(int fd, sockaddr* address, unsigned* size) noexcept = 0;  // getsockname
    virtual int peer_address(int fd, sockaddr* address, unsigned* size) noexcept = 0;   // getpeername
    virtual int set_option(int fd, int level, int name, const void* value, unsigned size) noexcept = 0;
    virtual int get_option(int fd, int level, int name, void* value, unsigned* size) noexcept = 0;
    virtual long receive(int fd, void* data, std::size_t size) noexcept = 0;     // recv
    virtual long send(int fd, const void* data, std::size_t size) noexcept = 0;  // send with MSG_NOSIGNAL
    virtual long send_message(int fd, const msghdr& message) noexcept = 0;       // sendmsg with MSG_NOSIGNAL
    virtual int close(int fd) noexcept = 0;

    // Pipes, by which bytes go from one socket to another without passing through the program: pipe(2), splice(2). ends[0]
    // is where they come out. A pipe's end never waits: where a call answers EAGAIN although the pipe is empty, or has
    // room, it is the socket that is not ready.
    virtual int create_pipe(int (&ends)[2]) noexcept = 0;
    virtual long receive_to_pipe(int fd, int pipe, std::size_t size) noexcept = 0;
    virtual long send_from_pipe(int fd, int pipe, std::size_t size) noexcept = 0;  // raises no SIGPIPE

    // Sends bytes of a file, from an offset on: sendfile(2). Raises no SIGPIPE.
    virtual long send_file(int fd, int file, std::uint64_t offset, std::size_t size) noexcept = 0;

    // Readiness: an epoll instance.
    virtual int create_poller() noexcept = 0;
    virtual int control(int poller, registration what, int fd, readiness_event event) noexcept = 0;
    // Waits until there are events, for about timeout at most (negative: without end), and returns how many it stored.
    virtual int wait(int poller, readiness_event* events, int events_max, duration timeout) noexcept = 0;

    // A counter that wakes a poller from another thread or from a signal handler: eventfd(2).
    virtual int create_event() noexcept = 0;
    virtual int signal_event(int fd) noexcept = 0;  // any thread; async-signal-safe

    // Signals: sends signal number signo to the mailbox as well, until unsubscribed. The first subscription of a
    // process replaces the signal's disposition, the end of the last one restores it.
    virtual int subscribe(int signo, signal_mailbox& mailbox) noexcept = 0;
    virtual void unsubscribe(int signo, signal_mailbox& mailbox) noexcept = 0;

    // Returns 64 bits that nobody can foretell; where a simulation wants to repeat itself, those that its seed gives.
    virtual std::uint64_t random() noexcept = 0;

    // Threads. Takes over a call that a thread pool would make on a thread of its own: makes it, some time later and on the
    // thread of the loop, by call(context, true), or drops it by call(context, false). A simulation does so, which has one
    // thread only. Returns false where there are threads.
    virtual bool defer([[maybe_unused]] void (*call)(void* context, bool make) noexcept,
                       [[maybe_unused]] void* context) noexcept {
        return false;
    }

    // Processors, of which a simulated machine has one. processors() stores the numbers of those that this thread may run on,
    // ascending, and returns how many there are, up to numbers_max: sched_getaffinity(2). pin() binds this thread to one of
    // them. unpin() lets it run where it could before the first pin(), and returns which one it was bound to, or -1 if to none.
    virtual int processors(int* numbers, int numbers_max) noexcept = 0;
    virtual int pin(int processor) noexcept = 0;
    virtual int unpin() noexcept = 0;

    // Counts the forks between the first process and this one: a poller must not be used where the number differs
    // from that at its creation, because parent and child would share its registrations.
    static unsigned fork_count() noexcept { return forks_.load(std::memory_order_relaxed); }

protected:
    static inline std::atomic<unsigned> forks_{0};
};

// The kernel that this process runs on. Any thread may call it.
kernel& linux_kernel() noexcept;

}  // namespace cove
