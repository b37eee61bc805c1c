import { render } from 'preact';
import { App } from './app.tsx';
import { watchServer } from './api/status.ts';
import { loadLibrary } from './chat/library.ts';
import { language, type Language } from './i18n/i18n.ts';
import { applyTheme, theme } from './ui/state.ts';
import './styles/base.css';
import './styles/layout.css';
import './styles/chat.css';
import './styles/composer.css';
import './styles/controls.css';
import './styles/viewer.css';
import './styles/answers.css';
import './styles/markdown.css';
import './styles/cards.css';

const writeLanguage = (now: Language) =>
  (document.documentElement.lang = now === 'zh' ? 'zh-CN' : 'en');
writeLanguage(language.get());
language.subscribe(writeLanguage);
applyTheme(theme.get());
theme.subscribe(applyTheme);

render(<App />, document.getElementById('app')!);
watchServer();
void loadLibrary();
