// async_generator<T>: a coroutine that yields any number of values, and may await between them. Python's async
// generator, Node's async function*.

#pragma once

#include <cove/runtime/attributes.hpp>
#include <cove/runtime/detail/execution.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/task.hpp>

#include <coroutine>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

namespace cove {

// A lazy sequence: `while (auto* value = co_await values.next()) use(*value);`
//
// Its body runs only inside next(), in the cancel scope of whoever awaits that, so that limits in time and cancellation
// reach it as they reach a task. What the body throws, next() throws, and the sequence has ended; so it has after
// `canceled`, unless the body catches that. A group that the body makes belongs to the scope of the next() it was made in.
// Concurrency: the thread of its loop, one next() at a time.
// Lifetime: as a task; destroying it between two values destroys the body there. So does destroying a frame that waits
// in next(): the sequence has ended then.
template <class T>
class [[nodiscard]] COVE_CORO_RETURN_TYPE COVE_CORO_LIFETIMEBOUND async_generator {
public:
    struct promise_type;
    class operation;

    async_generator(async_generator&& other) noexcept
        : frame_(std::exchange(other.frame_, {})), abandoned_(other.abandoned_) {
        own();
    }
    async_generator& operator=(async_generator&& other) noexcept {
        async_generator old(std::move(*this));
        frame_ = std::exchange(other.frame_, {});
        abandoned_ = other.abandoned_;
        own();
        return *this;
    }
    ~async_generator() { destroy(); }

    // Runs the body up to its next value. Result: a pointer to the value, good until next() is called again, from which
    // it may be moved; null once the body has ended. Throws: what the body throws.
    // Cancellation: reaches what the body awaits.
    operation next() noexcept { return operation(frame_, abandoned_); }

private:
    explicit async_generator(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) { own(); }

    void own() noexcept {
        if (frame_) frame_.promise().owner = this;
    }
    void destroy() noexcept {
        if (!frame_) return;
        const detail::destroying_guard guard;
        std::exchange(frame_, {}).destroy();
    }

    std::coroutine_handle<promise_type> frame_;
    bool abandoned_ = false;  // by a frame that was destroyed while it waited in next()
};

template <class T>
struct async_generator<T>::promise_type : detail::promise_base {
    T* value = nullptr;
    std::exception_ptr error;
    async_generator* owner = nullptr;
    operation* reader = nullptr;  // while the body runs

    ~promise_type() {
        if (reader != nullptr) reader->running_ = false;
    }

    struct hand_over {
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<promise_type> yielding) const noexcept {
            detail::this_thread.current = std::exchange(yielding.promise().continuation, nullptr);
        }
        void await_resume() const noexcept {}
    };

    async_generator get_return_object() noexcept { return async_generator(detail::frame_of(*this)); }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    hand_over yield_value(T& yielded) noexcept {
        value = std::addressof(yielded);
        return {};
    }
    hand_over yield_value(T&& yielded) noexcept { return yield_value(yielded); }

    // What is constant is copied, so that the reader may move from every value.
    struct hand_over_copy : hand_over {
        explicit hand_over_copy(const T& yielded) : copy(yielded) {}
        void await_suspend(std::coroutine_handle<promise_type> yielding) noexcept {
            yielding.promise().value = std::addressof(copy);
            hand_over::await_suspend(yielding);
        }
        T copy;
    };
    hand_over_copy yield_value(const T& yielded)
        requires(!std::is_const_v<T>)
    {
        return hand_over_copy(yielded);
    }
    hand_over final_suspend() noexcept {
        value = nullptr;
        return {};
    }
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { error = std::current_exception(); }
};

template <class T>
class [[nodiscard]] async_generator<T>::operation {
public:
    operation(std::coroutine_handle<promise_type> frame, bool abandoned) noexcept
        : frame_(frame), abandoned_(abandoned) {}
    operation(const operation& other) noexcept : operation(other.frame_, other.abandoned_) {}
    operation& operator=(const operation&) = delete;
    // The body waits for, and in the cancel scope of, a frame that is being destroyed.
    ~operation() {
        if (!running_) return;
        async_generator& owner = *frame_.promise().owner;
        owner.abandoned_ = true;
        owner.destroy();
    }

    bool await_ready() const noexcept { return false; }

    template <detail::cove_promise Promise>
    [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        if (abandoned_) return false;
        if (!frame_) detail::misuse("a generator that was moved from cannot be awaited", awaiting.promise().location);
        if (frame_.done()) return false;
        promise_type& body = frame_.promise();
        if (body.continuation != nullptr)
            detail::misuse("next() of a generator can be awaited by one coroutine at a time",
                           awaiting.promise().location);
        body.continuation = &awaiting.promise();
        body.reader = this;
        running_ = true;
        body.scope = awaiting.promise().scope;
        return detail::run_awaited(body, awaiting.promise());
    }

    T* await_resume() {
        if (abandoned_) return nullptr;
        promise_type& body = frame_.promise();
        body.reader = nullptr;
        running_ = false;
        if (body.error) std::rethrow_exception(std::exchange(body.error, nullptr));
        return body.value;
    }

private:
    friend promise_type;

    std::coroutine_handle<promise_type> frame_;
    bool abandoned_;
    bool running_ = false;
};

}  // namespace cove
