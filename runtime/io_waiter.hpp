// What an io_operation is where it waits: a node in a descriptor's slot in the reactor.

#pragma once

#include <cove/runtime/descriptor.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/waiter.hpp>

#include <system_error>

namespace cove {

using detail::direction;

class io_waiter : public waiter {
public:
    bool await_ready() const noexcept { return false; }

    std::string describe() const override;

    // For the reactor: the descriptor was closed, or cannot be waited for.
    void abandon(long outcome) noexcept;

protected:
    io_waiter(descriptor& target, direction d) noexcept : direction_(d), is_on_(on::owned), target_(&target) {}
    // On a descriptor that cove does not own.
    io_waiter(int borrowed_fd, direction d) noexcept : direction_(d), is_on_(on::borrowed), borrowed_(borrowed_fd) {}
    io_waiter(const io_waiter& other) noexcept;
    ~io_waiter() {
        if (is_on_ == on::slot) [[unlikely]]
            leave_slot();
    }

    // What start() and run() of an Operation do: see io_operation.hpp.
    template <class Operation>
    static bool start_as(Operation& self, detail::promise_base& frame);
    template <class Operation>
    static void run_as(Operation& self) noexcept;

    // As start(), for an operation that has made its first system call itself and was told to wait.
    bool start_waiting(detail::promise_base& frame);

    // Returns the raw outcome: zero or more, or negative for an error (-errno, or detail::raw(errc)). Throws `canceled`.
    long outcome() const {
        throw_if_canceled();
        return outcome_;
    }
    void set_outcome(long outcome) noexcept { outcome_ = static_cast<int>(outcome); }

    // Throws the error that the outcome stands for, naming the operation and its subject.
    [[noreturn]] void throw_outcome() const;

    // What try_once() answers to be called again after everybody else has had a turn.
    static constexpr long again = -detail::own_error_base;

    // What the operation is called in messages and stacks.
    virtual const char* name() const noexcept = 0;

    direction what_for() const noexcept { return direction_; }

    // The descriptor's number, for messages; -1 once it is closed.
    int number() const noexcept;

    // Names what the operation is on, for error messages: "127.0.0.1:8080", or "fd 7" where nothing better is known.
    virtual std::string subject() const;

private:
    template <class Operation>
    static long try_now(Operation& self, detail::slot& slot) noexcept;
    template <class Operation>
    static bool attempt_as(Operation& self) noexcept;
    template <class Operation>
    static bool start_first(Operation& self, detail::promise_base& frame);
    template <class Operation>
    static bool start_in(Operation& self, detail::slot& slot, detail::promise_base& frame);
    template <class Operation>
    static bool try_in(Operation& self, detail::slot& slot, detail::promise_base& frame);

    // Returns the descriptor's slot; null, and the outcome says why, where there can be none.
    detail::slot* find_slot(detail::reactor& reactor);
    bool wait_in(detail::slot& slot, detail::promise_base& frame);
    bool wait_unarmed(detail::slot& slot, detail::promise_base& frame);
    bool requeue_in(detail::slot& slot, detail::promise_base& frame) noexcept;
    void enter_slot(detail::slot& slot) noexcept;
    void leave_slot() noexcept;
    void stand_on_target(const detail::slot& left) noexcept;
    bool withdraw() noexcept final;

    // In this order the small ones fill up what is left of waiter's last word. An int is enough: no call moves more bytes.
    enum class on : unsigned char { nothing, owned, borrowed, slot };
    direction direction_;
    on is_on_;
    int outcome_ = 0;
    union {
        descriptor* target_;  // owned
        int borrowed_;
        detail::slot* slot_;  // while it waits: a stream may be moved meanwhile
    };
};

}  // namespace cove
