# cardloom_library(NAME tensor HDRS a.h SRCS a.cc DEPS cardloom::base PRIVATE_DEPS fmt::fmt TESTS a_test.cc)
# One call a folder: library cardloom::<name>, and one test program <name>_tests of all its *_test.cc
# (one link instead of many: linking dominates the build of small tests on two cores).
if(BUILD_TESTING)
  find_package(GTest REQUIRED)
endif()
find_package(Threads REQUIRED)

function(cardloom_library)
  cmake_parse_arguments(ARG "" "NAME" "HDRS;SRCS;DEPS;PRIVATE_DEPS;TESTS;TEST_DEPS;TEST_LABELS" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "cardloom_library(${ARG_NAME}): unknown ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  set(target cardloom_${ARG_NAME})
  add_library(${target} STATIC ${ARG_SRCS})
  add_library(cardloom::${ARG_NAME} ALIAS ${target})
  target_sources(${target} PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES ${ARG_HDRS})
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${target} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS} cardloom_warnings)
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)
  if(BUILD_TESTING AND ARG_TESTS)
    cardloom_test(NAME ${ARG_NAME}_tests SRCS ${ARG_TESTS} DEPS cardloom::${ARG_NAME} ${ARG_TEST_DEPS}
      LABELS ${ARG_TEST_LABELS})
  endif()
endfunction()

# cardloom_test(NAME x_tests SRCS a_test.cc DEPS cardloom::x LABELS slow) - a GoogleTest program; each
# TEST becomes a ctest of its own.
function(cardloom_test)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS;LABELS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_include_directories(${ARG_NAME} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main
    cardloom_warnings)
  target_compile_definitions(${ARG_NAME} PRIVATE CARDLOOM_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  include(GoogleTest)
  gtest_discover_tests(${ARG_NAME} TEST_PREFIX ${ARG_NAME}. DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "unit;${ARG_LABELS}" TIMEOUT 600)
endfunction()
