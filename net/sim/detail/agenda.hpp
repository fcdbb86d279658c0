// What is going to happen, and when: the heart of a simulation. Time is whatever the next event says.

#pragma once

#include <cove/net/sim/generator.hpp>
#include <cove/runtime/clock.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace cove::sim::detail {

class agenda {
public:
    // Events of the same moment happen in an order that is drawn: nothing may rely on any other.
    explicit agenda(generator& choices) noexcept : choices_(choices) {}

    template <class Function>
    void at(time_point when, Function what) {
        add(when, std::make_unique<event_of<Function>>(std::move(what)));
    }

    bool empty() const noexcept { return entries_.empty(); }
    time_point next() const noexcept { return entries_.empty() ? time_point::max() : entries_.front().when; }

    void run_next() {
        std::pop_heap(entries_.begin(), entries_.end());
        const std::unique_ptr<event> due = std::move(entries_.back().what);
        entries_.pop_back();
        due->happen();
    }

    void clear() noexcept { entries_.clear(); }

private:
    struct event {
        virtual ~event() = default;
        virtual void happen() = 0;
    };
    template <class Function>
    struct event_of final : event {
        explicit event_of(Function what) : what_(std::move(what)) {}
        void happen() override { what_(); }
        Function what_;
    };
    struct entry {
        time_point when;
        std::uint64_t order;
        std::unique_ptr<event> what;

        // The heap's first is its largest, so the earliest counts as that.
        friend bool operator<(const entry& left, const entry& right) noexcept {
            return left.when != right.when ? left.when > right.when : left.order > right.order;
        }
    };

    void add(time_point when, std::unique_ptr<event> what) {
        // The lower half tells apart those whose draws are equal.
        const std::uint64_t order = choices_.next() << 32 | (++added_ & 0xffff'ffff);
        entries_.push_back({when, order, std::move(what)});
        std::push_heap(entries_.begin(), entries_.end());
    }

    generator& choices_;
    std::vector<entry> entries_;
    std::uint64_t added_ = 0;
};

}  // namespace cove::sim::detail
