// Annotations by which compilers that know them warn of what would dangle.

#pragma once

// On a parameter: the result refers to it, so that a temporary there dies too early unless it is awaited at once.
#if defined(__clang__)
#define COVE_LIFETIMEBOUND [[clang::lifetimebound]]
#else
#define COVE_LIFETIMEBOUND
#endif

// On task: a function that returns one is a coroutine, and its reference parameters must outlive the task (Clang 18).
#if defined(__has_cpp_attribute)
#if __has_cpp_attribute(clang::coro_return_type)
#define COVE_CORO_RETURN_TYPE [[clang::coro_return_type]]
#endif
#if __has_cpp_attribute(clang::coro_lifetimebound)
#define COVE_CORO_LIFETIMEBOUND [[clang::coro_lifetimebound]]
#endif
#if __has_cpp_attribute(clang::coro_wrapper)
#define COVE_CORO_WRAPPER [[clang::coro_wrapper]]
#endif
#endif
#ifndef COVE_CORO_RETURN_TYPE
#define COVE_CORO_RETURN_TYPE
#endif
#ifndef COVE_CORO_LIFETIMEBOUND
#define COVE_CORO_LIFETIMEBOUND
#endif
#ifndef COVE_CORO_WRAPPER
#define COVE_CORO_WRAPPER
#endif
