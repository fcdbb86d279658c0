#include <cove/net/serve.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/result.hpp>
#include <cove/runtime/text.hpp>
#include <cove/runtime/timeout.hpp>

#include <memory>
#include <new>
#include <system_error>

namespace cove::detail {
namespace {

// Returns whether accepting may work again after a while; otherwise throws the error.
bool is_exhaustion(std::error_code error, const tcp_listener& listener, const serve_options& options) {
    // ENOSPC: epoll's limit of registrations, fs.epoll.max_user_watches.
    const bool passes = error == std::errc::too_many_files_open || error == std::errc::too_many_files_open_in_system ||
                        error == std::errc::no_buffer_space || error == std::errc::not_enough_memory ||
                        error == std::errc::no_space_on_device;
    if (passes && options.on_error == nullptr) return true;
    const std::system_error reported(error, text({"accept ", listener.local_address().to_string()}));
    if (!passes) throw reported;
    options.on_error(std::make_exception_ptr(reported));
    return true;
}

// Waits until a descriptor is closed on this thread.
wait_queue::operation descriptor_to_spare() noexcept { return loop::current().descriptor_closed().wait(); }

}  // namespace

session_set::session_set(session_maker& maker, session_place* shared) noexcept
    : task_group(current_scope(), true), options(maker.options), maker_(maker), shared_(shared) {}

session_set::~session_set() {
    for (std::size_t destroyed = size(); shared_ != nullptr && destroyed > 0; --destroyed) shared_->session_ended();
}

void session_set::begin(tcp_stream peer) {
    try {
        maker_.spawn(*this, std::move(peer));
    } catch (const std::bad_alloc&) {
        task_ended();
        throw;
    } catch (...) {
        survives_failure();
        task_ended();
    }
}

bool session_set::survives_failure() noexcept {
    if (options.on_error != nullptr && !handles_canceled()) options.on_error(std::current_exception());
    return true;
}

void session_set::task_ended() noexcept {
    if (shared_ != nullptr) shared_->session_ended();
    room.wake_one();
}

bool session_set::take(tcp_stream& accepted) {
    const auto where = shared_ != nullptr ? shared_->place(accepted) : session_place::answer::here;
    if (where == session_place::answer::here) begin(std::move(accepted));
    return where != session_place::answer::nowhere;
}

bool session_set::is_full() const noexcept {
    return shared_ != nullptr ? shared_->is_full() : size() >= options.connections_max;
}

void session_set::stop(tcp_listener& listener) noexcept {
    if (shared_ != nullptr) shared_->stop(listener);
    listener.close();
}

namespace {

task<> run_sessions(tcp_listener listener, std::unique_ptr<session_maker> maker,
                    std::unique_ptr<session_place> shared) {
    const serve_options& options = maker->options;
    session_set sessions(*maker, shared.get());
    if (shared != nullptr) shared->open(sessions);
    bool stopped = false;
    std::exception_ptr failure;
    try {
        for (;;) {
            while (sessions.is_full()) co_await sessions.room.wait();
            bool exhausted = false;
            try {
                auto accepted = co_await as_result(listener.accept());
                if (!accepted)
                    exhausted = is_exhaustion(accepted.error(), listener, options);
                else
                    while (!sessions.take(*accepted)) co_await sessions.room.wait();
            } catch (const std::bad_alloc&) {
                exhausted = true;
                if (options.on_error != nullptr) options.on_error(std::current_exception());
            }
            if (exhausted) co_await move_on_after(options.retry_after, descriptor_to_spare());
        }
    } catch (const canceled&) {
        stopped = true;
    } catch (...) {
        failure = std::current_exception();
    }
    sessions.stop(listener);
    co_await shield(move_on_after(options.grace, sessions.join()));
    sessions.cancel();
    co_await shield(sessions.join());
    if (stopped) throw canceled();
    std::rethrow_exception(failure);
}

}  // namespace

// The frame is made where serve() is called: a server that has begun does not fail for lack of memory.
task<> accept_sessions(tcp_listener listener, session_maker* owned_maker, session_place* owned_place) {
    std::unique_ptr<session_maker> maker(owned_maker);
    std::unique_ptr<session_place> shared(owned_place);
    return run_sessions(std::move(listener), std::move(maker), std::move(shared));
}

}  // namespace cove::detail
