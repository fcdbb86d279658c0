// serve(): the accept loop that survives.

#pragma once

#include <cove/net/tcp.hpp>
#include <cove/runtime/clock.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/run.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/wait_queue.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <utility>

namespace cove {

struct serve_options {
    serve_options() noexcept {}

    // At so many sessions serve() stops accepting; further clients wait in the kernel's backlog.
    std::size_t connections_max = static_cast<std::size_t>(-1);
    // How long sessions may go on once serve() was canceled, before they are canceled too.
    duration grace = std::chrono::seconds(1);
    // How long to wait at most before accepting again after running out of descriptors or memory.
    duration retry_after = std::chrono::milliseconds(100);
    // Called with what a handler has thrown, and with the error each time accepting has to wait; for a log, say.
    // Without it they are dropped. Must not throw.
    void (*on_error)(std::exception_ptr error) = nullptr;
};

namespace detail {

class session_set;

// What knows the handler.
class session_maker {
public:
    explicit session_maker(const serve_options& given) noexcept : options(given) {}
    session_maker(const session_maker&) = delete;
    session_maker& operator=(const session_maker&) = delete;
    virtual ~session_maker() = default;

    virtual void spawn(task_group& sessions, tcp_stream peer) = 0;

    const serve_options options;
};

template <class Handler>
class sessions_by final : public session_maker {
public:
    sessions_by(Handler&& handler, const serve_options& given) : session_maker(given), handler_(std::move(handler)) {}

    void spawn(task_group& sessions, tcp_stream peer) override { sessions.spawn(handler_(std::move(peer))); }

private:
    Handler handler_;
};

// A server's place among several that share out what they accept; see serve_evenly().
class session_place {
public:
    enum class answer { here, elsewhere, nowhere };

    virtual ~session_place() = default;

    // From now on others hand over connections to these sessions.
    virtual void open(session_set& sessions) noexcept = 0;
    virtual bool is_full() const noexcept = 0;
    // Finds a server for a connection that was accepted. Where the answer is `here` it has been counted here, where it is
    // `nowhere`, for now, or `here` the stream is still the caller's.
    virtual answer place(tcp_stream& accepted) noexcept = 0;
    virtual void session_ended() noexcept = 0;
    // This server stops: takes no more, and gives others those who wait to be accepted.
    virtual void stop(tcp_listener& listener) noexcept = 0;
};

// The sessions of one server: shielded, because accept_sessions() cancels them, once their grace is over; one that fails
// leaves the others alone.
class session_set final : public task_group {
public:
    session_set(session_maker& maker, session_place* shared) noexcept;
    ~session_set() override;

    // Begins a session, which counts already where the place is shared. Throws std::bad_alloc, and has closed the stream.
    void begin(tcp_stream peer);
    // The same for a connection just accepted, wherever it is placed; false: nowhere yet, wait for room.
    bool take(tcp_stream& accepted);

    bool is_full() const noexcept;
    void stop(tcp_listener& listener) noexcept;

    const serve_options& options;
    wait_queue room{"serve: a session to end"};

private:
    bool survives_failure() noexcept override;
    void task_ended() noexcept override;

    session_maker& maker_;
    session_place* shared_;
};

// Accepts until canceled, and ends the sessions then. Not std::unique_ptr: <memory> is a tenth of the time to compile a server.
task<> accept_sessions(tcp_listener listener, session_maker* owned_maker, session_place* owned_place = nullptr);

}  // namespace detail

// Accepts connections until canceled, and runs handler(tcp_stream) for each, a callable that returns a task.
//
// Running out of descriptors or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM, and ENOSPC of epoll) is waited out, without spinning and until a
// descriptor is closed here or for retry_after; clients wait in the backlog meanwhile. A handler's exception ends its
// session only.
// Cancellation: stops accepting, gives the sessions `grace` to end by themselves, cancels them, waits for their end and
// throws `canceled`. Throws: std::system_error for a listener that is closed or cannot listen, after ending the sessions
// in the same way. std::bad_alloc: at the call, and no later.
template <class Handler>
task<> serve(tcp_listener listener, Handler handler, serve_options options = serve_options()) {
    return detail::accept_sessions(std::move(listener), new detail::sessions_by<Handler>(std::move(handler), options));
}

}  // namespace cove
