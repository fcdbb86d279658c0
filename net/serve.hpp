// serve(): the accept loop that survives.

#pragma once

#include <cove/net/tcp.hpp>
#include <cove/runtime/clock.hpp>
#include <cove/runtime/result.hpp>
#include <cove/runtime/run.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>
#include <cove/runtime/wait_queue.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <new>
#include <system_error>
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

// Returns whether accepting may work again after a while; otherwise throws the error.
bool is_exhaustion(std::error_code error, const tcp_listener& listener, const serve_options& options);

// Waits until a descriptor is closed on this thread.
wait_queue::operation descriptor_to_spare() noexcept;

// The sessions of one serve(): shielded, because they are canceled there once their grace is over; one that fails leaves the
// others alone.
class session_group final : public task_group {
public:
    explicit session_group(const serve_options& options) noexcept
        : task_group(current_scope(), true), options_(options) {}

    template <class Handler>
    void begin(Handler& handler, tcp_stream peer) {
        try {
            spawn(handler(std::move(peer)));
        } catch (const std::bad_alloc&) {
            throw;
        } catch (...) {
            survives_failure();
        }
    }

    wait_queue::operation session_ended() noexcept { return ended_.wait(); }

private:
    bool survives_failure() noexcept override;
    void task_ended() noexcept override { ended_.wake_one(); }

    const serve_options& options_;
    wait_queue ended_{"serve: a session to end"};
};

}  // namespace detail

// Accepts connections until canceled, and runs handler(tcp_stream) for each, a callable that returns a task.
//
// Running out of descriptors or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM, and ENOSPC of epoll) is waited out, without spinning and until a
// descriptor is closed here or for retry_after; clients wait in the backlog meanwhile. A handler's exception ends its
// session only.
// Cancellation: stops accepting, gives the sessions `grace` to end by themselves, cancels them, waits for their end and
// throws `canceled`. Throws: std::system_error for a listener that is closed or cannot listen, after ending the sessions
// in the same way.
template <class Handler>
task<> serve(tcp_listener listener, Handler handler, serve_options options = serve_options()) {
    detail::session_group sessions(options);
    bool stopped = false;
    std::exception_ptr failure;
    try {
        for (;;) {
            while (sessions.size() >= options.connections_max) co_await sessions.session_ended();
            bool exhausted = false;
            try {
                auto accepted = co_await as_result(listener.accept());
                if (accepted)
                    sessions.begin(handler, std::move(*accepted));
                else
                    exhausted = detail::is_exhaustion(accepted.error(), listener, options);
            } catch (const std::bad_alloc&) {
                exhausted = true;
                if (options.on_error != nullptr) options.on_error(std::current_exception());
            }
            if (exhausted) co_await move_on_after(options.retry_after, detail::descriptor_to_spare());
        }
    } catch (const canceled&) {
        stopped = true;
    } catch (...) {
        failure = std::current_exception();
    }
    listener.close();
    co_await shield(move_on_after(options.grace, sessions.join()));
    sessions.cancel();
    co_await shield(sessions.join());
    if (stopped) throw canceled();
    std::rethrow_exception(failure);
}

}  // namespace cove
