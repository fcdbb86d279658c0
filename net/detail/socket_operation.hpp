// What the operations on sockets share: how an outcome becomes a result, and errors that name the peer.

#pragma once

#include <cove/net/address.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/io_waiter.hpp>
#include <cove/runtime/result.hpp>

#include <type_traits>
#include <variant>

namespace cove::detail {

address local_address_of(kernel& os, int fd) noexcept;
address peer_address_of(kernel& os, int fd) noexcept;

// Tried as a final class: whoever defines an Operation instantiates this by socket_attempt.hpp, and befriends io_waiter.
// Makes the operation's non-negative outcome a Value by Operation::give(), and a negative one the error that
// await_resume() throws or as_result() returns.
template <class Operation, class Value>
class socket_operation : public io_waiter {
public:
    template <cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) {
        return start(awaiting.promise());
    }

    Value await_resume() {
        const long done = outcome();
        if (done < 0) throw_outcome();
        return static_cast<Operation*>(this)->give(done);
    }

    result<Value> take_result() {
        const long done = outcome();
        if (done < 0) return to_error_code(done);
        if constexpr (std::is_void_v<Value>)
            return std::monostate();
        else
            return static_cast<Operation*>(this)->give(done);
    }

protected:
    using io_waiter::io_waiter;

private:
    bool start(promise_base& frame);
    void run() noexcept override;

    // The peer's address is asked for only when an error has to name it.
    std::string subject() const override {
        const address peer = number() < 0 ? address() : peer_address_of(kernel::current(), number());
        return peer.size() > 0 ? peer.to_string() : io_waiter::subject();
    }
};

}  // namespace cove::detail
