// watch<T>: a value that changes, of which only the latest matters: configuration, state, progress. Tokio's watch.

#pragma once

#include <cove/runtime/attributes.hpp>
#include <cove/runtime/detail/queued_operation.hpp>

#include <cstdint>
#include <string>
#include <utility>

namespace cove {

// Holds a value; coroutines wait for it to change. Whoever looks late sees the latest value only.
// Concurrency: the thread of its loop. Lifetime: must outlive its observers.
template <class T>
class watch {
public:
    class observer;
    class operation;

    explicit watch(T initial) : value_(std::move(initial)) {}

    const T& value() const noexcept { return value_; }

    // Replaces the value, and has every observer look at it. Runs no coroutine.
    void set(T value) {
        value_ = std::move(value);
        ++version_;
        wake_all();
    }

    // No further change will come: every wait ends.
    void close() noexcept {
        closed_ = true;
        wake_all();
    }

private:
    void wake_all() noexcept {
        while (operation* first = waiting_.pop_front()) first->finish();
    }

    T value_;
    std::uint64_t version_ = 0;
    bool closed_ = false;
    detail::intrusive_list<operation, detail::queue_tag> waiting_;
};

// Remembers which value it has seen: at first the one that is there when it is made.
template <class T>
class watch<T>::observer {
public:
    explicit observer(watch& source COVE_LIFETIMEBOUND) noexcept : source_(&source), seen_(source.version_) {}

    // Waits until the value has been set since it was seen last. Result: the latest value, good until it is set again; null
    // when the watch is closed and its last value has been seen. Cancellation: the change can still be seen.
    // One coroutine at a time.
    operation changed() noexcept { return operation(*this); }

private:
    friend class operation;
    watch* source_;
    std::uint64_t seen_;
};

template <class T>
class [[nodiscard]] watch<T>::operation final : public detail::queued_operation<operation> {
    using base = detail::queued_operation<operation>;

public:
    explicit operation(observer& eye) noexcept : observer_(&eye) {}

    const T* await_resume() {
        this->throw_if_canceled();
        watch& source = *observer_->source_;
        if (observer_->seen_ == source.version_) return nullptr;
        observer_->seen_ = source.version_;
        return &source.value_;
    }
    std::string describe() const override { return "watch"; }

private:
    friend base;
    friend class watch;

    bool try_now() const noexcept {
        return observer_->seen_ != observer_->source_->version_ || observer_->source_->closed_;
    }
    void enter() noexcept { observer_->source_->waiting_.push_back(*this); }

    observer* observer_;
};

}  // namespace cove
