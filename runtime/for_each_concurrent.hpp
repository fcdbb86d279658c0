// for_each_concurrent: work on many things, so many at a time. gevent's Pool, Node's p-limit.

#pragma once

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>

#include <cstddef>
#include <iterator>
#include <utility>

namespace cove {

namespace detail {

template <class Range, class Function>
struct concurrent_work {
    concurrent_work(Range& range, std::size_t limit_given, Function& called)
        : next(range.begin()), end(range.end()), function(called), limit(limit_given) {}

    decltype(std::declval<Range&>().begin()) next;
    decltype(std::declval<Range&>().end()) end;
    Function& function;
    std::size_t limit;
    task_group group;
};

// Takes one element after the other. Each worker starts the next one, while there is work for it.
template <class Work>
task<> work_through(Work& work) {
    bool first = true;
    while (work.next != work.end) {
        // The function may have ended as if nothing had been, or never have waited; no further element is begun.
        const cancel_scope& around = current_scope();
        if (around.is_canceled()) throw canceled(around.reason());
        auto&& element = *work.next;
        ++work.next;
        if (std::exchange(first, false) && work.next != work.end && work.group.size() < work.limit)
            work.group.spawn(work_through(work));
        auto made = work.function(std::forward<decltype(element)>(element));
        co_await made;
    }
}

}  // namespace detail

// Awaits function(element) for each element of a range, at most limit at a time, begun in their order.
// function: a callable that returns a task. Throws: what the first that fails throws, once the others, canceled for it,
// have ended; no further element is begun. Cancellation: reaches all that run, and begins no further one.
// Lifetime: the range is moved or copied in; pass a span for elements that stay elsewhere, and outlive the await.
template <class Range, class Function>
task<> for_each_concurrent(Range range, std::size_t limit, Function function) {
    static_assert(std::forward_iterator<decltype(range.begin())>, "elements must stay while the next one is looked at");
    detail::concurrent_work<Range, Function> work(range, limit, function);
    work.group.spawn(detail::work_through(work));
    co_await work.group.join();
}

}  // namespace cove
