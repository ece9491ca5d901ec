//! What agents have of the web: events, exceptions, encodings, URLs, abort signals, broadcasts, workers.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use peristyle_agents::{AgentHandle, AgentOptions, Cluster, Code, Exit, PortLimits, Thrown};
use serde_json::{Value, json};

/// Evaluates a module that posts the names of checks that failed; an error of it fails the test.
#[track_caller]
fn check(text: &str) {
    let text = format!(
        "const failed = []; const ok = (name, held) => {{ if (held !== true) failed.push(`${{name}}: ${{held}}`); }};
         const is = (name, actual, expected) => {{
           const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
           if (!(Object.is(actual, expected) || (typeof actual === 'object' && a === b))) failed.push(`${{name}}: ${{a}} is not ${{b}}`);
         }};
         const thrown = (f) => {{ try {{ f(); }} catch (error) {{ return error; }} return {{ name: 'nothing was thrown' }}; }};
         {text}
         postMessage(failed);"
    );
    assert_eq!(posted(Code::source("main.mjs", text)), json!([]));
}

#[track_caller]
fn posted(code: Code) -> Value {
    let (send, errors) = mpsc::channel();
    let on_error = Arc::new(move |thrown: &Thrown| drop(send.send(thrown.to_string())));
    let options = AgentOptions { on_error: Some(on_error), ..AgentOptions::default() };
    let agent = Cluster::new().unwrap().spawn(code, options).unwrap();
    match agent.receive().wait_timeout(Duration::from_secs(60)) {
        Ok(message) => message.get().unwrap(),
        Err(error) => {
            let exit = agent.join().wait_timeout(Duration::from_secs(1));
            panic!("{error}: {exit:?}; {:?}", errors.try_iter().collect::<Vec<_>>())
        }
    }
}

#[test]
fn events_and_their_listeners_are_the_standards() {
    check(
        r#"
        const target = new EventTarget();
        const log = [];
        const note = (name) => (event) => log.push(name);
        target.addEventListener('x', note('bubble'));
        target.addEventListener('x', note('capture'), true);
        target.addEventListener('x', note('once'), { once: true });
        const twice = note('twice');
        target.addEventListener('x', twice);
        target.addEventListener('x', twice);
        target.addEventListener('x', twice, { capture: true });
        target.dispatchEvent(new Event('x'));
        is('order', log.splice(0), ['capture', 'twice', 'bubble', 'once', 'twice']);
        target.removeEventListener('x', twice);
        target.dispatchEvent(new Event('x'));
        is('removed', log.splice(0), ['capture', 'twice', 'bubble']);

        const t = new EventTarget();
        let seen;
        t.addEventListener('y', (event) => {
          seen = [event.eventPhase, event.currentTarget === t, event.composedPath().length, event.isTrusted, event.type];
          event.preventDefault();
        });
        const event = new Event('y', { cancelable: true, bubbles: true, composed: true });
        ok('time', event.timeStamp > 0 && event.timeStamp <= performance.now());
        ok('canceled', t.dispatchEvent(event) === false);
        is('seen', seen, [Event.AT_TARGET, true, 1, false, 'y']);
        is('after', [event.eventPhase, event.currentTarget, event.target === t, event.composedPath().length, event.defaultPrevented,
                     event.bubbles, event.composed, event.returnValue], [0, null, true, 0, true, true, true, false]);
        is('constants', [Event.NONE, Event.CAPTURING_PHASE, event.AT_TARGET, event.BUBBLING_PHASE], [0, 1, 2, 3]);
        ok('not cancelable', t.dispatchEvent(new Event('y')) === true);

        const p = new EventTarget();
        p.addEventListener('z', (event) => event.preventDefault(), { passive: true });
        ok('passive', p.dispatchEvent(new Event('z', { cancelable: true })));
        p.addEventListener('z', (event) => event.preventDefault());
        ok('passive ends with its listener', !p.dispatchEvent(new Event('z', { cancelable: true })));

        const s = new EventTarget();
        s.addEventListener('w', (event) => { log.push(1); event.stopPropagation(); }, true);
        s.addEventListener('w', () => log.push(2), true);
        s.addEventListener('w', () => log.push(3));
        s.dispatchEvent(new Event('w'));
        is('stopPropagation', log.splice(0), [1, 2]);
        s.addEventListener('v', (event) => { log.push(1); event.stopImmediatePropagation(); });
        s.addEventListener('v', () => log.push(2));
        s.dispatchEvent(new Event('v'));
        is('stopImmediatePropagation', log.splice(0), [1]);

        const r = new EventTarget();
        const second = () => log.push('second');
        r.addEventListener('u', () => { r.removeEventListener('u', second); r.addEventListener('u', () => log.push('new')); });
        r.addEventListener('u', second);
        r.dispatchEvent(new Event('u'));
        is('changes while dispatching', log.splice(0), []);
        r.addEventListener('obj', { handleEvent(event) { log.push(this.name, event.type); }, name: 'object' });
        r.dispatchEvent(new CustomEvent('obj', { detail: 5 }));
        is('object', log.splice(0), ['object', 'obj']);
        is('detail', [new CustomEvent('a', { detail: 7 }).detail, new CustomEvent('a').detail], [7, null]);

        is('no type', thrown(() => new Event()).name, 'TypeError');
        is('bad init', thrown(() => new Event('a', 1)).name, 'TypeError');
        is('no event', thrown(() => r.dispatchEvent({})).name, 'TypeError');
        is('no target', thrown(() => EventTarget.prototype.addEventListener.call({}, 'a', () => {})).name, 'TypeError');
        is('no listener', thrown(() => r.addEventListener('a', 1)).name, 'TypeError');
        const again = new Event('again');
        r.addEventListener('again', () => { log.push(thrown(() => r.dispatchEvent(again)).name); });
        r.dispatchEvent(again);
        is('dispatched twice at once', log.splice(0), ['InvalidStateError']);
        r.dispatchEvent(again);
        is('and again', log.splice(0).length, 1);

        addEventListener('error', (event) => { log.push(event.message, event.error?.code); event.preventDefault(); }, { once: true });
        r.addEventListener('throws', () => { throw Object.assign(new Error('in a listener'), { code: 3 }); });
        r.addEventListener('throws', () => log.push('next'));
        r.dispatchEvent(new Event('throws'));
        is('a listener that throws', log.splice(0), ['Error: in a listener', 3, 'next']);
        globalThis.onerror = (message) => { log.push(message); return true; };
        reportError(new RangeError('told'));
        is('reportError', log.splice(0), ['RangeError: told']);
        globalThis.onerror = null;
        "#,
    );
}

#[test]
fn signals_abort_what_listens_and_what_depends() {
    check(
        r#"
        const log = [];
        const controller = new AbortController();
        const { signal } = controller;
        ok('fresh', !signal.aborted && signal.reason === undefined && controller.signal === signal);
        signal.throwIfAborted();
        const target = new EventTarget();
        target.addEventListener('x', () => log.push('x'), { signal });
        target.dispatchEvent(new Event('x'));
        signal.onabort = (event) => log.push(event.type, event.isTrusted, event.target === signal);
        const any = AbortSignal.any([new AbortController().signal, signal]);
        const nested = AbortSignal.any([any]);
        any.addEventListener('abort', () => log.push('any', nested.aborted));
        nested.addEventListener('abort', () => log.push('nested'));
        controller.abort('why');
        controller.abort('again');
        target.dispatchEvent(new Event('x'));
        target.addEventListener('x', () => log.push('late'), { signal });
        target.dispatchEvent(new Event('x'));
        is('order', log.splice(0), ['x', 'abort', true, true, 'any', true, 'nested']);
        is('reason', [signal.reason, any.reason, nested.reason, thrown(() => signal.throwIfAborted())], ['why', 'why', 'why', 'why']);
        const other = new AbortController();
        other.abort();
        ok('default reason', other.signal.reason instanceof DOMException && other.signal.reason.name === 'AbortError' && other.signal.reason.code === 20);
        ok('any of aborted', AbortSignal.any([other.signal]).reason === other.signal.reason);
        ok('any of none', !AbortSignal.any([]).aborted);
        ok('abort()', AbortSignal.abort().reason.name === 'AbortError' && AbortSignal.abort(5).reason === 5);
        is('no constructor', thrown(() => new AbortSignal()).name, 'TypeError');
        is('no signal', thrown(() => target.addEventListener('a', () => {}, { signal: {} })).name, 'TypeError');
        is('null signal', thrown(() => target.addEventListener('a', () => {}, { signal: null })).name, 'TypeError');
        is('any of no signal', thrown(() => AbortSignal.any([{}])).name, 'TypeError');
        is('no time', thrown(() => AbortSignal.timeout(-1)).name, 'TypeError');
        const timeout = AbortSignal.timeout(1);
        const early = AbortSignal.any([timeout]);
        ok('not yet', !timeout.aborted);
        await new Promise((resolve) => early.addEventListener('abort', resolve));
        is('timeout', [timeout.reason.name, timeout.reason.code, early.reason === timeout.reason], ['TimeoutError', 23, true]);
        "#,
    );
}

#[test]
fn dom_exceptions_are_whole_and_stay_themselves() {
    check(
        r#"
        const error = new DOMException('text', 'NotFoundError');
        is('parts', [error.name, error.message, error.code, error instanceof Error, error instanceof DOMException],
           ['NotFoundError', 'text', 8, true, true]);
        ok('stack', error.stack.includes('main.mjs'));
        is('string', [String(error), Object.prototype.toString.call(error)], ['NotFoundError: text', '[object DOMException]']);
        is('defaults', [new DOMException().name, new DOMException().message, new DOMException().code], ['Error', '', 0]);
        is('codes', ['IndexSizeError', 'SyntaxError', 'InvalidAccessError', 'TimeoutError', 'DataCloneError', 'EncodingError', 'constructor']
          .map((name) => new DOMException('', name).code), [1, 12, 15, 23, 25, 0, 0]);
        is('constants', [DOMException.INDEX_SIZE_ERR, DOMException.DATA_CLONE_ERR, error.ABORT_ERR, DOMException.VALIDATION_ERR], [1, 25, 20, 16]);
        is('no exception', thrown(() => DOMException.prototype.name).name, 'TypeError');
        class Own extends DOMException { get own() { return this.name; } }
        is('subclass', new Own('m', 'AbortError').own, 'AbortError');
        const other = { error };
        const copy = structuredClone([error, error, other, 1]);
        ok('copy', copy[0] !== error && copy[0] === copy[1] && copy[2].error === copy[0] && copy[3] === 1);
        is('clone', [copy[0].name, copy[0].message, copy[0].code, copy[0].stack === error.stack, copy[0] instanceof DOMException],
           ['NotFoundError', 'text', 8, true, true]);
        const worker = new Worker(`data:text/javascript,onmessage = ({ data }) => postMessage([data, data instanceof DOMException, data.name])`);
        worker.postMessage(error);
        const back = await new Promise((resolve) => { worker.onmessage = ({ data }) => resolve(data); });
        is('there and back', [back[1], back[2], back[0].code, back[0] instanceof DOMException], [true, 'NotFoundError', 8, true]);
        worker.terminate();
        "#,
    );
    // To Rust it crosses as errors do.
    let agent = Cluster::new().unwrap().spawn(Code::source("main.mjs", ""), AgentOptions::default()).unwrap();
    let error: Value = agent.eval("new DOMException('m', 'AbortError')").wait().unwrap();
    assert_eq!((&error["name"], &error["message"]), (&json!("AbortError"), &json!("m")));
}

#[test]
fn text_is_encoded_and_decoded() {
    check(
        r#"
        const bytes = (...list) => new Uint8Array(list);
        const encoder = new TextEncoder();
        is('encoding', encoder.encoding, 'utf-8');
        is('encode', [...encoder.encode('aü€🦀\u{d800}')], [97, 0xc3, 0xbc, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0xa6, 0x80, 0xef, 0xbf, 0xbd]);
        is('encode nothing', [encoder.encode().length, encoder.encode(undefined).length], [0, 0]);
        const room = new Uint8Array(5);
        is('encodeInto', [encoder.encodeInto('ü🦀€', room), [...room]], [{ read: 1, written: 2 }, [0xc3, 0xbc, 0, 0, 0]]);
        is('encodeInto a part', encoder.encodeInto('🦀', room.subarray(1)), { read: 2, written: 4 });
        const shared = new Uint8Array(new SharedArrayBuffer(3));
        is('encodeInto shared', [encoder.encodeInto('abcd', shared), [...shared]], [{ read: 3, written: 3 }, [97, 98, 99]]);
        is('encodeInto nothing', thrown(() => encoder.encodeInto('a', new Uint16Array(1))).name, 'TypeError');

        const utf8 = new TextDecoder();
        is('defaults', [utf8.encoding, utf8.fatal, utf8.ignoreBOM], ['utf-8', false, false]);
        is('decode', utf8.decode(bytes(0xef, 0xbb, 0xbf, 97, 0xff, 0xe2, 0x82)), 'a\ufffd\ufffd');
        is('decode nothing', [utf8.decode(), utf8.decode(undefined, {})], ['', '']);
        is('keep the mark', new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes(0xef, 0xbb, 0xbf, 97)), '\ufeffa');
        is('buffers', [utf8.decode(bytes(97, 98).buffer), utf8.decode(new DataView(bytes(97, 98, 99).buffer, 1)), utf8.decode(shared), utf8.decode(shared.buffer)],
           ['ab', 'bc', 'abc', 'abc']);
        const stream = new TextDecoder();
        is('stream', [[0xe2], [0x82, 0xac, 0xf0], [0x9f, 0xa6]].map((part) => stream.decode(bytes(...part), { stream: true })).concat(stream.decode()), ['', '€', '', '\ufffd']);
        is('after the stream', stream.decode(bytes(0xef, 0xbb, 0xbf, 98)), 'b');
        const strict = new TextDecoder('utf8', { fatal: true });
        is('fatal', [strict.fatal, thrown(() => strict.decode(bytes(0xff))).name, strict.decode(bytes(97))], [true, 'TypeError', 'a']);
        is('fatal end', [strict.decode(bytes(0xe2), { stream: true }), thrown(() => strict.decode()).name, strict.decode(bytes(97))], ['', 'TypeError', 'a']);
        is('labels', ['latin1', ' ASCII ', 'utf-16', 'UTF-16BE', 'windows-1251', 'shift_jis', 'unicode-1-1-utf-8'].map((label) => new TextDecoder(label).encoding),
           ['windows-1252', 'windows-1252', 'utf-16le', 'utf-16be', 'windows-1251', 'shift_jis', 'utf-8']);
        is('latin1', new TextDecoder('latin1').decode(bytes(0xe9, 0x80)), 'é€');
        is('utf-16le', new TextDecoder('utf-16le').decode(bytes(0xff, 0xfe, 97, 0, 0x3e, 0xd8, 0x80, 0xdd)), 'a🦀');
        is('shift_jis', new TextDecoder('shift_jis').decode(bytes(0x83, 0x65)), 'テ');
        for (const label of ['nothing', 'replacement', 'hz-gb-2312', '']) is(`label ${label}`, thrown(() => new TextDecoder(label)).name, 'RangeError');
        for (const input of [1, 'text', null, {}]) is(`input ${input}`, thrown(() => utf8.decode(input)).name, 'TypeError');
        const gone = new ArrayBuffer(4); structuredClone(gone, { transfer: [gone] });
        is('detached', utf8.decode(gone), '');

        is('btoa', [btoa(''), btoa('a'), btoa('\u00ff~')], ['', 'YQ==', '/34=']);
        is('atob', [atob('YQ=='), atob(' Y Q\n'), atob('/34=')], ['a', 'a', '\u00ff~']);
        is('a long one', atob(btoa('x'.repeat(100000))).length, 100000);
        for (const wrong of ['Y', 'YQ=', '*', 'YQ===', '=']) {
          const error = thrown(() => atob(wrong));
          is(`atob ${wrong}`, [error.name, error.code], ['InvalidCharacterError', 5]);
        }
        is('btoa wide', thrown(() => btoa('€')).name, 'InvalidCharacterError');
        "#,
    );
}

#[test]
fn urls_are_parsed_changed_and_refused() {
    check(
        r#"
        const url = new URL('https://user:pa%20ss@EXAMPLE.com:8080/a/../b c?q=1#frag');
        is('parts', [url.href, url.origin, url.protocol, url.username, url.password, url.host, url.hostname, url.port, url.pathname, url.search, url.hash],
           ['https://user:pa%20ss@example.com:8080/b%20c?q=1#frag', 'https://example.com:8080', 'https:', 'user', 'pa%20ss', 'example.com:8080', 'example.com', '8080', '/b%20c', '?q=1', '#frag']);
        is('text', [`${url}`, JSON.stringify(url), Object.prototype.toString.call(url)], [url.href, JSON.stringify(url.href), '[object URL]']);
        is('base', [new URL('../x?y', 'file:///a/b/c.ts').href, new URL('//h/', 'https://x/').href, new URL('#g', 'data:text/plain,x#f').href], ['file:///a/x?y', 'https://h/', 'data:text/plain,x#g']);
        is('unicode', new URL('https://ü.example/ü?ü#ü').href, 'https://xn--tda.example/%C3%BC?%C3%BC#%C3%BC');
        is('null origin', new URL('data:,x').origin, 'null');
        is('ipv4', new URL('http://0x7f.1/').hostname, '127.0.0.1');
        for (const wrong of ['', '/x', 'http://', 'https://a b/', 'http://[::1', 'http://1.2.3.256/', 'http://x:99999/']) {
          is(`no URL ${wrong}`, [thrown(() => new URL(wrong)).name, URL.canParse(wrong), URL.parse(wrong)], ['TypeError', false, null]);
        }
        is('canParse', [URL.canParse('x', 'https://a/'), URL.canParse('x', 'nothing'), URL.parse('x', 'https://a/b/').href], [true, false, 'https://a/b/x']);
        is('no argument', thrown(() => new URL()).name, 'TypeError');

        const set = (part, value, from = 'https://u:p@h:8080/p?q#f') => { const url = new URL(from); url[part] = value; return url.href; };
        is('setters', [
          set('protocol', 'http'), set('protocol', 'ftp:'), set('protocol', 'mailto'), set('username', 'ä'), set('password', ''), set('host', 'x.y:1'), set('host', 'x.y'),
          set('hostname', 'z'), set('hostname', ''), set('port', '443'), set('port', 'x'), set('port', ''), set('pathname', 'a b'), set('search', ''), set('search', '?x y'),
          set('hash', ''), set('hash', 'é'), set('href', 'data:,y'), set('pathname', 'x', 'data:,y'),
        ], [
          'http://u:p@h:8080/p?q#f', 'ftp://u:p@h:8080/p?q#f', 'https://u:p@h:8080/p?q#f', 'https://%C3%A4:p@h:8080/p?q#f', 'https://u@h:8080/p?q#f', 'https://u:p@x.y:1/p?q#f', 'https://u:p@x.y:8080/p?q#f',
          'https://u:p@z:8080/p?q#f', 'https://u:p@h:8080/p?q#f', 'https://u:p@h/p?q#f', 'https://u:p@h:8080/p?q#f', 'https://u:p@h/p?q#f', 'https://u:p@h:8080/a%20b?q#f', 'https://u:p@h:8080/p#f', 'https://u:p@h:8080/p?x%20y#f',
          'https://u:p@h:8080/p?q', 'https://u:p@h:8080/p?q#%C3%A9', 'data:,y', 'data:,y',
        ]);
        is('bad href', thrown(() => { new URL('https://a/').href = 'nothing'; }).name, 'TypeError');

        const live = new URL('https://a/?x=1&y=2');
        const params = live.searchParams;
        ok('the same', live.searchParams === params);
        params.append('z', 'a b&ü');
        is('told', live.href, 'https://a/?x=1&y=2&z=a+b%26%C3%BC');
        live.search = '?n=1&n=2';
        is('tells', [...params], [['n', '1'], ['n', '2']]);
        params.delete('n', '1');
        is('delete one', live.search, '?n=2');
        params.delete('n');
        is('delete all', live.href, 'https://a/');
        live.href = 'https://b/?k=v';
        is('href tells', params.get('k'), 'v');

        const list = new URLSearchParams('?a=1&b=2&a=%33&=&c&d=%ff+x');
        is('parsed', [[...list], list.size], [[['a', '1'], ['b', '2'], ['a', '3'], ['', ''], ['c', ''], ['d', '\ufffd x']], 6]);
        is('queries', [list.get('a'), list.get('nope'), list.getAll('a'), list.has('a'), list.has('a', '3'), list.has('a', '2')], ['1', null, ['1', '3'], true, true, false]);
        list.set('a', 9); list.set('new', 'n');
        is('set', `${list}`, 'a=9&b=2&=&c=&d=%EF%BF%BD+x&new=n');
        const sorted = new URLSearchParams([['z', '1'], ['a', '1'], ['🦀', ''], ['\uffff', ''], ['a', '0']]);
        sorted.sort();
        is('sort', [...sorted.keys()], ['a', 'a', 'z', '🦀', '\uffff']);
        is('sort is stable', sorted.getAll('a'), ['1', '0']);
        is('from a record', `${new URLSearchParams({ a: 1, 'b c': 'ü' })}`, 'a=1&b+c=%C3%BC');
        is('from entries', `${new URLSearchParams(new Map([['a', 'b']]))}${new URLSearchParams(list)}`.length > 5, true);
        is('from nothing', [`${new URLSearchParams()}`, `${new URLSearchParams(undefined)}`], ['', '']);
        is('lone surrogates', `${new URLSearchParams({ 'a\ud800': '\udc00' })}`, 'a%EF%BF%BD=%EF%BF%BD');
        for (const wrong of [[['a']], [['a', 'b', 'c']], [1], { [Symbol.iterator]: 1 }]) is('bad entries', thrown(() => new URLSearchParams(wrong)).name, 'TypeError');
        is('too few', thrown(() => list.append('a')).name, 'TypeError');
        const walked = [];
        const walk = new URLSearchParams('a=1&b=2');
        for (const [name] of walk) { walked.push(name); if (name === 'a') walk.append('c', '3'); }
        walk.forEach(function (value, name, all) { walked.push(value, name, all === walk, this.me); }, { me: 1 });
        is('walked', walked, ['a', 'b', 'c', '1', 'a', true, 1, '2', 'b', true, 1, '3', 'c', true, 1]);
        is('iterator', [Object.prototype.toString.call(walk.values()), [...walk.values()], typeof walk.keys().map], ['[object URLSearchParams Iterator]', ['1', '2', '3'], 'function']);
        "#,
    );
}

#[test]
fn a_broadcast_is_serialised_once_for_all() {
    let (names, text) = (64, "
        const channel = new BroadcastChannel('news');
        channel.onmessage = ({ data, target }) => {
          new Int32Array(data.shared)[data.index++] ; Atomics.add(new Int32Array(data.shared), 0, data.list.length);
          postMessage([data.got, data.text.length, data.module instanceof WebAssembly.Module, data.error.name, target === channel]);
          channel.close();
        };
        postMessage('ready');");
    let cluster = Cluster::new().unwrap();
    let spawn = |text: &str| cluster.spawn(Code::source("main.mjs", text), AgentOptions::default()).unwrap();
    let receivers: Vec<_> = (0..names).map(|_| spawn(text)).collect();
    for receiver in &receivers {
        assert_eq!(receiver.receive().wait().unwrap().get::<String>().unwrap(), "ready");
    }
    let sender = spawn(
        "const channel = new BroadcastChannel('news'), other = new BroadcastChannel('other news');
         other.onmessage = () => { throw new Error('another name'); };
         let reads = 0;
         const shared = new SharedArrayBuffer(4);
         const module = new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));
         channel.onmessage = () => { throw new Error('its own message'); };
         channel.postMessage({ get got() { return ++reads; }, index: 0, shared, list: [1, 2, 3], text: 'long '.repeat(10000), module, error: new DOMException('', 'AbortError') });
         channel.close(); other.close();
         export const sum = () => [reads, new Int32Array(shared)[0]];",
    );
    for receiver in &receivers {
        let got: Value = receiver.receive().wait().unwrap().get().unwrap();
        assert_eq!(got, json!([1, 50000, true, "AbortError", true]));
    }
    // Closed channels keep nobody.
    for receiver in receivers {
        assert_eq!(receiver.join().wait(), Exit::Finished);
    }
    assert_eq!(sender.call::<Vec<f64>>("sum", &()).wait().unwrap(), [1.0, 3.0 * f64::from(names)]);
    assert_eq!(sender.join().wait(), Exit::Finished);
}

#[test]
fn broadcast_channels_follow_the_standard() {
    check(
        r#"
        const [a, b] = [new BroadcastChannel('n'), new BroadcastChannel('n')];
        is('name', [a.name, new BroadcastChannel(5).name], ['n', '5']);
        const log = [];
        const got = (count) => new Promise((resolve) => { const wait = () => log.length >= count ? resolve() : setTimeout(wait, 1); wait(); });
        // A listener that comes after the message, in the same task, hears it.
        a.postMessage(1);
        b.onmessage = ({ data, ports, origin }) => log.push(data, ports.length);
        a.postMessage([2]);
        a.addEventListener('message', ({ data }) => log.push(`a ${data}`));
        b.postMessage('x');
        await got(5);
        is('order', log.splice(0), [1, 0, [2], 0, 'a x']);
        for (const wrong of [() => 1, Symbol(), new MessageChannel().port1]) is('no clone', thrown(() => a.postMessage(wrong)).name, 'DataCloneError');
        is('no message', thrown(() => a.postMessage()).name, 'TypeError');
        is('no name', thrown(() => new BroadcastChannel()).name, 'TypeError');
        // A getter that closes its own channel.
        a.postMessage({ get x() { a.close(); return 1; } });
        const closed = thrown(() => a.postMessage(1));
        is('closed', [closed.name, closed.code], ['InvalidStateError', 11]);
        b.close(); b.close();
        is('nothing more', log, []);
        "#,
    );
    // What cannot be read is a messageerror; the channel goes on.
    let cluster = Cluster::new().unwrap();
    let options = AgentOptions { shared_memory: false, ..AgentOptions::default() };
    let code = "const c = new BroadcastChannel('n'); c.onmessage = ({ data }) => postMessage(data); c.onmessageerror = ({ data }) => postMessage(['error', data]); postMessage('ready');";
    let apart = cluster.spawn(Code::source("main.mjs", code), options).unwrap();
    assert_eq!(apart.receive().wait().unwrap().get::<String>().unwrap(), "ready");
    let code = "const c = new BroadcastChannel('n'); c.postMessage(new SharedArrayBuffer(1)); c.postMessage('after');";
    let sender = cluster.spawn(Code::source("main.mjs", code), AgentOptions::default()).unwrap();
    assert_eq!(apart.receive().wait().unwrap().get::<Value>().unwrap(), json!(["error", null]));
    assert_eq!(apart.receive().wait().unwrap().get::<String>().unwrap(), "after");
    assert_eq!(sender.join().wait(), Exit::Finished);
    // Clusters do not hear each other.
    let other = Cluster::new().unwrap();
    let code = "new BroadcastChannel('n').postMessage('from afar');";
    assert_eq!(
        other.spawn(Code::source("main.mjs", code), AgentOptions::default()).unwrap().join().wait(),
        Exit::Finished
    );
    assert_eq!(apart.eval::<i32>("3").wait().unwrap(), 3);
    assert!(apart.port().try_receive().unwrap().is_none());
}

#[test]
fn broadcasts_have_bounds() {
    let ports = PortLimits { message_bytes: 4096, queue_messages: 3, queue_bytes: 1 << 20 };
    let options = AgentOptions { ports, ..AgentOptions::default() };
    let text = "const [a, b, c] = [1, 2, 3].map(() => new BroadcastChannel('n'));
         const log = [];
         b.onmessage = c.onmessage = ({ data }) => log.push(data);
         const post = (value) => { try { a.postMessage(value); return 'ok'; } catch (error) { return error.name; } };
         const results = [post(1), post(2), post(new Uint8Array(8192)), post(3), post(4)];
         setTimeout(() => { results.push(post(5)); setTimeout(() => { postMessage([results, log]); [a, b, c].forEach((x) => x.close()); }, 5); }, 5);";
    let agent = Cluster::new().unwrap().spawn(Code::source("main.mjs", text), options).unwrap();
    let got: Value = agent.receive().wait().unwrap().get().unwrap();
    let expected = json!([["ok", "ok", "DataCloneError", "ok", "QuotaExceededError", "ok"], [1, 1, 2, 2, 3, 3, 5, 5]]);
    assert_eq!(got, expected);
    assert_eq!(agent.join().wait(), Exit::Finished);
}

#[test]
fn an_agent_that_ends_takes_its_channels_along() {
    let cluster = Cluster::new().unwrap();
    let spawn = |text: &str| cluster.spawn(Code::source("main.mjs", text), AgentOptions::default()).unwrap();
    let stopped = spawn("new BroadcastChannel('n').onmessage = () => {}; postMessage(0);");
    stopped.receive().wait().unwrap();
    stopped.terminate();
    assert!(matches!(stopped.join().wait(), Exit::Terminated(_)));
    let busy = spawn("const c = new BroadcastChannel('n'); c.onmessage = () => { for (;;); }; postMessage(0);");
    busy.receive().wait().unwrap();
    // What waits for an agent that never takes it goes with it.
    let sender = spawn(
        "const c = new BroadcastChannel('n'); for (let i = 0; i < 100; i++) c.postMessage(new Uint8Array(1000)); c.close();",
    );
    assert_eq!(sender.join().wait(), Exit::Finished);
    busy.terminate();
    assert!(matches!(busy.join().wait(), Exit::Terminated(_)));
}

#[test]
fn a_workers_url_is_relative_to_the_module_that_starts_it() {
    let text = |url: &str| {
        format!(
            "export default () => new Promise((resolve) => {{ const w = new Worker({url}, {{ type: 'module', credentials: 'omit' }}); w.onmessage = ({{ data }}) => resolve(data); w.onerror = (e) => {{ e.preventDefault(); resolve(e.message); }}; }});"
        )
    };
    let modules = [
        ("main.mjs", "import a from './lib/a.mjs'; import b from './lib/b.mjs'; import c from './lib/c.mjs';
             postMessage(await Promise.all([a(), b(), c()]).then((all) => [...all, import.meta.url, new URL('./lib/x.mjs', import.meta.url).href]));".to_owned()),
        ("lib/a.mjs", text("new URL('./w.mjs', import.meta.url)")),
        ("lib/b.mjs", text("'./w.mjs'")),
        ("lib/c.mjs", text("'w.mjs'")),
        ("lib/w.mjs", "postMessage(`right ${import.meta.url}`)".to_owned()),
        ("w.mjs", "postMessage('wrong')".to_owned()),
    ];
    let right = "right source:///lib/w.mjs";
    assert_eq!(
        posted(Code::bundle("main.mjs", modules.clone())),
        json!([right, right, right, "source:///main.mjs", "source:///lib/x.mjs"])
    );
    // The same as files, in a directory whose name has a blank.
    let root = std::env::temp_dir().join(format!("peristyle web {}", std::process::id()));
    std::fs::create_dir_all(root.join("lib")).unwrap();
    let root = root.canonicalize().unwrap();
    for (name, text) in modules {
        std::fs::write(root.join(name), text).unwrap();
    }
    let got = posted(Code::file(root.join("main.mjs")));
    for at in 0..3 {
        let text = got[at].as_str().unwrap();
        assert!(text.starts_with("right file:///") && text.ends_with("/lib/w.mjs"), "{got}");
    }
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn wrong_workers_are_errors() {
    check(
        r#"
        for (const type of ['classic', 'nothing', null]) is(`type ${type}`, thrown(() => new Worker('data:text/javascript,', { type })).name, 'TypeError');
        const failure = (url) => new Promise((resolve) => {
          const worker = new Worker(url);
          worker.onerror = (event) => { event.preventDefault(); resolve([event.message, event.filename, event.lineno, event.colno, event instanceof ErrorEvent]); };
        });
        const [message, filename, line] = await failure('nowhere.mjs');
        ok('missing', message.startsWith('TypeError: ') && message.includes('nowhere.mjs') && filename === 'main.mjs' && line > 1);
        is('syntax', (await failure('data:text/javascript,%0A%0Alet%20a;%20let%20a;')).slice(2), [3, 12, true]);
        is('types', (await failure('data:text/typescript,%0Aenum%20E%20{}'))[0].startsWith('TypeError: '), true);
        is('throws', (await failure(`data:text/javascript,%0A%0A   throw new RangeError('x')`)), ['RangeError: x', 'data:text/javascript,%0A%0A   throw new RangeError(\'x\')', 3, 10, true]);
        is('no module', (await failure('data:text/html,'))[0].startsWith('TypeError: '), true);
        const named = new Worker('data:text/javascript,postMessage([name, import.meta.url])', { name: 'its name' });
        is('name', await new Promise((resolve) => { named.onmessage = ({ data }) => resolve(data); }), ['its name', 'data:text/javascript,postMessage([name, import.meta.url])']);
        "#,
    );
}

#[test]
fn handles_are_whole() {
    // Names of the web's surface that scripts look for.
    let agent: AgentHandle =
        Cluster::new().unwrap().spawn(Code::source("main.mjs", ""), AgentOptions::default()).unwrap();
    let missing: Vec<String> = agent
        .eval(
            "['self', 'name', 'postMessage', 'close', 'reportError', 'structuredClone', 'queueMicrotask', 'setTimeout', 'clearTimeout', 'setInterval',
              'clearInterval', 'console', 'performance', 'navigator', 'Event', 'CustomEvent', 'ErrorEvent', 'MessageEvent', 'EventTarget',
              'PromiseRejectionEvent', 'MessageChannel', 'MessagePort', 'BroadcastChannel', 'Worker', 'TextEncoder', 'TextDecoder', 'URL',
              'URLSearchParams', 'AbortController', 'AbortSignal', 'DOMException', 'atob', 'btoa'].filter((name) => !(name in globalThis))
              .concat(navigator.hardwareConcurrency >= 1 ? [] : ['cores'], performance.timeOrigin > 1e12 ? [] : ['timeOrigin'])",
        )
        .wait()
        .unwrap();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn listeners_keep_signals_and_signals_let_go_of_listeners() {
    // What nothing holds is collected while the agent waits; its end is told.
    let text = "
        const gone = new FinalizationRegistry((name) => { if (name === 'target') check(); });
        const target = new EventTarget(), source = new AbortController(), kept = new AbortController();
        let heard = 0;
        target.addEventListener('x', () => heard++, { signal: AbortSignal.any([source.signal, kept.signal]) });
        (() => {
          // Its listener has gone, and the signal with it forgets whom it knew.
          const once = new EventTarget();
          gone.register(once, 'target');
          once.addEventListener('y', () => {}, { once: true, signal: kept.signal });
          once.dispatchEvent(new Event('y'));
        })();
        const check = () => {
          target.dispatchEvent(new Event('x'));
          source.abort();
          target.dispatchEvent(new Event('x'));
          postMessage([heard, kept.signal.aborted]);
        };
        onmessage = () => gone;";
    let agent = Cluster::new().unwrap().spawn(Code::source("x.mjs", text), AgentOptions::default()).unwrap();
    let told = agent.receive().wait_timeout(Duration::from_secs(60)).expect("what nothing holds is collected");
    assert_eq!(told.get::<(u32, bool)>(), Ok((1, false)));
}
